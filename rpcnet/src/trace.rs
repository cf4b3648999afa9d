//! Which request of a user a call belongs to, across processes.
//!
//! Source: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::{fmt, str::FromStr};

use bytes::{Buf, BufMut};
use rand::{Rng, RngExt};

/// The place of a call in a trace: the trace's id, the span of the caller, and whether it is sampled.
///
/// A call that is made inside a handler carries the trace of the call that the handler answers, with the handler's
/// span. The first of a chain carries one if it is given one: [`Call::trace`](crate::Call::trace). Its text is that
/// of the header `traceparent`.
///
/// ```
/// use rpcnet::Trace;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // From the header of an HTTP request.
/// let trace: Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?;
/// assert_eq!(trace.span(), 0xb7ad6b7169203331);
/// assert!(trace.is_sampled());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u128,
    span: u64,
    sampled: bool,
}

/// A text is no `traceparent` of version 00.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent: expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct TraceError;

impl Trace {
    /// On the wire: id, span, flags.
    pub(crate) const LENGTH: usize = 25;

    /// The start of a new trace, sampled.
    pub fn new() -> Self {
        Self::with_rng(&mut rand::rng())
    }

    pub(crate) fn with_rng(rng: &mut impl Rng) -> Self {
        Self { id: rng.random::<u128>().max(1), span: rng.random::<u64>().max(1), sampled: true }
    }

    /// The trace's id: one for all calls that belong together.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// The id of the span: of the caller's, or of the handler's own in [`Context::trace`](crate::Context::trace).
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Returns whether the node that started the trace wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The same trace, sampled or not.
    #[must_use]
    pub fn with_sampled(mut self, sampled: bool) -> Self {
        self.sampled = sampled;
        self
    }

    /// A new span of the same trace.
    pub(crate) fn child(self, rng: &mut impl Rng) -> Self {
        Self { span: rng.random::<u64>().max(1), ..self }
    }

    pub(crate) fn encode(self, buffer: &mut impl BufMut) {
        buffer.put_u128(self.id);
        buffer.put_u64(self.span);
        buffer.put_u8(self.sampled.into());
    }

    /// Takes what [`encode`](Self::encode) wrote; `None` while it has not all arrived.
    pub(crate) fn take(input: &mut impl Buf) -> Option<Self> {
        if input.remaining() < Self::LENGTH {
            return None;
        }
        Some(Self { id: input.get_u128(), span: input.get_u64(), sampled: input.get_u8() & 1 == 1 })
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({self})")
    }
}

impl FromStr for Trace {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let mut parts = text.split('-');
        let mut hex = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length).ok_or(TraceError)?;
            let digits = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if digits { u128::from_str_radix(part, 16).map_err(|_| TraceError) } else { Err(TraceError) }
        };
        let (version, id, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        if version != 0 || id == 0 || span == 0 || parts.next().is_some() {
            return Err(TraceError);
        }
        Ok(Self { id, span: span as u64, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn its_text_is_that_of_the_standard() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace: Trace = text.parse().expect("the standard's example");
        assert!(trace.is_sampled());
        assert_eq!(trace.to_string(), text);
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(wrong.parse::<Trace>(), Err(TraceError), "{wrong}");
        }
    }

    #[test]
    fn a_child_is_of_the_same_trace() {
        let mut rng = StdRng::seed_from_u64(1);
        let root = Trace::with_rng(&mut rng);
        let child = root.child(&mut rng);
        assert_eq!(child.id(), root.id());
        assert_ne!(child.span(), root.span());
        let mut buffer = BytesMut::new();
        child.encode(&mut buffer);
        assert_eq!(buffer.len(), Trace::LENGTH);
        assert_eq!(Trace::take(&mut buffer.freeze()), Some(child));
    }
}
