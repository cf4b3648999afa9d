//! The tokio runtime for quinn, with one addition: connections send their close when the runtime is shut down.
//!
//! quinn sends packets from tasks (drivers), one for each connection. A runtime that is shut down just drops them. A
//! program that leaves `main` would leave its connections open at its peers until the idle timeout. Here, a driver that
//! is dropped before its end is polled once more after its connection was closed. That poll sends the close.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Once, OnceLock, Weak},
    task::{Context, Poll, Waker},
    time::Instant,
};

use quinn::{AsyncTimer, AsyncUdpSocket, TokioRuntime, VarInt};
use tokio::runtime::Handle;

use crate::{lock::Mutex, proto::close};

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtime on which an endpoint was opened. The drivers of all its connections run there.
pub(super) struct QuinnRuntime {
    handle: Handle,
    drivers: OnceLock<Weak<Drivers>>,
}

/// State shared by the drivers of an endpoint. It is dropped with the last of them.
struct Drivers {
    /// Closes the connections. Each connection's handles hold the endpoint. If it is gone, all handles are gone and
    /// have closed their connections.
    endpoint: OnceLock<Weak<quinn::Endpoint>>,
    /// Closes all connections once. A second thread that drops drivers waits until the first has closed them.
    closed: Once,
    /// The endpoint's driver, after the runtime has dropped it. Kept because connections can't send without it.
    last: Mutex<Option<Driver>>,
}

impl Default for Drivers {
    fn default() -> Self {
        Self { endpoint: OnceLock::new(), closed: Once::new(), last: Mutex::default() }
    }
}

impl fmt::Debug for QuinnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuinnRuntime").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl QuinnRuntime {
    /// Returns the current thread's runtime, for one endpoint; `None` outside of a runtime.
    pub(super) fn current() -> Option<Arc<Self>> {
        let handle = Handle::try_current().ok()?;
        Some(Arc::new(Self { handle, drivers: OnceLock::new() }))
    }

    /// Registers the endpoint whose connections are closed when the runtime is shut down.
    pub(super) fn serves(&self, endpoint: &Arc<quinn::Endpoint>) {
        if let Some(drivers) = self.drivers.get().and_then(Weak::upgrade) {
            let _ = drivers.endpoint.set(Arc::downgrade(endpoint));
        }
    }
}

impl quinn::Runtime for QuinnRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let _entered = self.handle.enter();
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, driver: Driver) {
        // The endpoint's own driver is spawned first, and lives as long as any other.
        let mut first = None;
        let drivers = self.drivers.get_or_init(|| Arc::downgrade(first.insert(Arc::default())));
        let is_endpoint = first.is_some();
        let drivers = first.or_else(|| drivers.upgrade());
        self.handle.spawn(Driven { driver: Some(driver), drivers, is_endpoint });
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _entered = self.handle.enter();
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

impl Drivers {
    /// Closes all connections, once.
    fn close(&self) {
        self.closed.call_once(|| {
            if let Some(endpoint) = self.endpoint.get().and_then(Weak::upgrade) {
                endpoint.close(VarInt::from_u32(close::SHUTDOWN), b"the runtime was shut down");
            }
        });
    }
}

/// The task of a driver.
struct Driven {
    /// `None` once the driver has ended.
    driver: Option<Driver>,
    drivers: Option<Arc<Drivers>>,
    is_endpoint: bool,
}

impl Future for Driven {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let polled = driver.as_mut().poll(cx);
        if polled.is_ready() {
            self.driver = None;
        }
        polled
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let (Some(mut driver), Some(drivers)) = (self.driver.take(), &self.drivers) else { return };
        // Nobody aborts these tasks, so the runtime is being shut down. For a thread inside the runtime, timers and
        // sockets work until all tasks are dropped.
        if std::thread::panicking() || Handle::try_current().is_err() || is_silent() {
            return;
        }
        drivers.close();
        if self.is_endpoint {
            *drivers.last.lock() = Some(driver);
        } else {
            let _ = driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[cfg(feature = "fuzzing")]
static SILENT: Mutex<Vec<tokio::runtime::Id>> = Mutex::new(Vec::new());

/// Lets the shutdown of this runtime look like a killed process: no peer is told. For tests.
#[cfg(feature = "fuzzing")]
pub fn dies_silently(runtime: &Handle) {
    SILENT.lock().push(runtime.id());
}

#[cfg(feature = "fuzzing")]
fn is_silent() -> bool {
    let silent = SILENT.lock();
    Handle::try_current().is_ok_and(|current| silent.contains(&current.id()))
}

#[cfg(not(feature = "fuzzing"))]
fn is_silent() -> bool {
    false
}
