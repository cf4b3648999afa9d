use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}
