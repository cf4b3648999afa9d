//! Generated items have docs and raise no lints.

#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused, rust_2018_idioms)]
#![deny(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub use crate::service::{
    CountError, Quiet, QuietServer, StreamResult, WordCount, WordCountClient, WordCountServer, Worker,
};

mod service {
    use rpcnet::{Context, Streaming, rpc_impl, rpc_trait};
    use serde::{Deserialize, Serialize};

    /// Why words are not counted.
    #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
    pub struct CountError;

    /// Counts words: [`WordCount::count`], [`Self::old`].
    #[rpc_trait]
    pub trait WordCount {
        /// The count.
        ///
        /// # Errors
        ///
        /// Never.
        async fn count(&self, text: String) -> Result<u64, CountError>;

        /// An old one.
        #[deprecated = "counts nothing"]
        async fn old(&self, text: Vec<u8>) -> Result<u64, CountError>;

        /// Streams, with a body.
        #[rpc(item_timeout = "1s", max_message = "1MiB", priority = -1)]
        async fn chat(&self, said: Streaming<String>) -> Result<Streaming<String>, CountError> {
            Ok(said)
        }

        /// A stream that a macro does not see.
        #[rpc(item_timeout = "1s")]
        async fn hidden(&self) -> StreamResult {
            Ok(Streaming::empty())
        }

        /// With a body, and more arguments than clippy likes.
        #[expect(clippy::too_many_arguments, reason = "it is what is tested")]
        async fn long(
            &self,
            cx: &Context,
            a: u8,
            b: u8,
            c: u8,
            d: u8,
            e: u8,
            f: u8,
            g: u8,
        ) -> rpcnet::Result<u8> {
            tokio::task::yield_now().await;
            let method = cx.method();
            if method.idempotent() {
                return Err(rpcnet::Status::internal(method.name()));
            }
            Ok(a + b + c + d + e + f + g)
        }
    }

    /// An alias.
    pub type StreamResult = rpcnet::Result<Streaming<u64>>;

    /// An implementation.
    #[derive(Debug)]
    pub struct Worker;

    #[rpc_impl]
    impl WordCount for Worker {
        async fn count(&self, text: String) -> Result<u64, CountError> {
            Ok(text.len() as u64)
        }

        async fn old(&self, _text: Vec<u8>) -> Result<u64, CountError> {
            Ok(0)
        }
    }

    /// Its client is not used, and it is no one's business outside.
    #[rpc_trait]
    pub(crate) trait Hidden {
        async fn nothing(&self) -> rpcnet::Result<()>;
    }

    #[rpc_impl]
    impl Hidden for Worker {
        async fn nothing(&self) -> rpcnet::Result<()> {
            Ok(())
        }
    }

    /// A trait without any `pub`.
    #[rpc_trait]
    trait Private {
        async fn nothing(&self, a: u8) -> rpcnet::Result<()>;
    }

    #[rpc_impl]
    impl Private for Worker {
        async fn nothing(&self, _: u8) -> rpcnet::Result<()> {
            Ok(())
        }
    }

    /// `#[allow]` and `#[expect]` on a method hold for the client, too.
    #[allow(non_snake_case)]
    #[rpc_trait]
    pub trait Quiet {
        /// Loud.
        async fn LOUD(&self, LOUD: u8) -> rpcnet::Result<u8>;

        /// Complex.
        #[expect(clippy::type_complexity, reason = "it is what is tested")]
        async fn complex(
            &self,
            map: Complex<Vec<Vec<Option<Vec<(u8, Vec<(u8, Vec<(u8, u8)>)>)>>>>>,
        ) -> rpcnet::Result<u8>;
    }

    type Complex<T> = Vec<Option<Vec<Option<T>>>>;
}

#[test]
fn compiles_without_warnings() {}
