//! Stands for the crate `warp`: one path over plain HTTP; and for who asks for it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) mod reply {
    pub(crate) struct Reply {
        pub(super) body: Vec<u8>,
        pub(super) header: (&'static str, &'static str),
    }

    pub(crate) fn with_header(body: Vec<u8>, name: &'static str, value: &'static str) -> Reply {
        Reply { body, header: (name, value) }
    }
}

pub(crate) struct Path(&'static str);

pub(crate) fn path(name: &'static str) -> Path {
    Path(name)
}

type Answer = Arc<dyn Fn() -> reply::Reply + Send + Sync>;

pub(crate) struct Route {
    path: String,
    answer: Answer,
}

impl Path {
    pub(crate) fn map(self, answer: impl Fn() -> reply::Reply + Send + Sync + 'static) -> Route {
        Route { path: format!("/{}", self.0), answer: Arc::new(answer) }
    }
}

pub(crate) struct Server(Route);

pub(crate) fn serve(route: Route) -> Server {
    Server(route)
}

impl Server {
    /// Serves in a task, and gives the address that was bound (warp's runs until the end).
    pub(crate) async fn run(self, addr: (impl Into<IpAddr>, u16)) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(SocketAddr::new(addr.0.into(), addr.1)).await?;
        let bound = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = self.answer(stream).await;
            }
        });
        Ok(bound)
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.split(' ').nth(1) != Some(&*self.0.path) {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").await;
        }
        let reply::Reply { body, header: (name, value) } = (self.0.answer)();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{name}: {value}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).await
    }
}

/// The answer to a GET, with its head.
pub(crate) async fn get(from: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(from).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
