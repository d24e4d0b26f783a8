//! How long a request has waited for the API server, counted in the task that judges it.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

tokio::task_local! {
    static WAITED: Cell<Duration>;
}

/// Runs a task, and tells how long it waited in [`timed`].
pub(crate) async fn counted<T>(task: impl Future<Output = T>) -> (T, Duration) {
    WAITED
        .scope(Cell::default(), async {
            let result = task.await;
            (result, WAITED.get().get())
        })
        .await
}

/// Waits for the API server, and tells how long that took.
pub(crate) async fn timed<T>(read: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let result = read.await;
    let took = begin.elapsed();
    // Outside of a request nobody asks.
    let _counted = WAITED.try_with(|waited| waited.set(waited.get() + took));
    (result, took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_reads_are_counted_and_only_in_their_own_task() {
        let wait = |milliseconds| tokio::time::sleep(Duration::from_millis(milliseconds));
        let begin = Instant::now();
        let ((first, second), all) = counted(async {
            let first = timed(wait(20)).await.1;
            wait(20).await;
            (first, timed(wait(20)).await.1)
        })
        .await;
        assert_eq!(all, first + second);
        assert!(all >= Duration::from_millis(40) && all + Duration::from_millis(20) <= begin.elapsed(), "{all:?}");
        assert_eq!(timed(async { 3 }).await.0, 3, "outside of a request nobody counts");
    }
}
