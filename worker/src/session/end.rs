//! The time an end may take.
//!
//! It promises that a worker that is asked to stop has ended before its pod would be killed, whoever does not answer then.
//! What it leaves behind is what a crash would leave, and the next start settles it.

use std::time::Duration;

use tokio::sync::watch;

use super::shutdown_signal;
use crate::commands::CommandError;

/// From being asked to stop to the end. Fifteen seconds are promised; the rest is for the process to go away.
const GRACE: Duration = Duration::from_secs(14);

/// Runs the command, and gives it up when it goes on too long after Ctrl-C or SIGTERM.
pub async fn in_time(command: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    given_up_late(command, shutdown_signal()?).await
}

async fn given_up_late(
    command: impl Future<Output = Result<(), CommandError>>,
    mut asked: watch::Receiver<bool>,
) -> Result<(), CommandError> {
    let late = async {
        // Nobody is left to ask.
        if asked.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        ended = command => ended,
        () = late => Err(CommandError::EndedLate { seconds: GRACE.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_given_up_only_when_it_was_asked_to_stop() {
        let (stop, asked) = watch::channel(false);
        let begun = tokio::time::Instant::now();
        let hangs = async { std::future::pending().await };
        let asks = async {
            // paces: the clock of the test stands still but for this.
            tokio::time::sleep(Duration::from_hours(1)).await;
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = given_up_late(hangs, asked) => ended,
            () = asks => unreachable!(),
        };
        assert!(matches!(ended, Err(CommandError::EndedLate { seconds: 14 })), "{ended:?}");
        assert_eq!(begun.elapsed(), Duration::from_hours(1) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_in_time_says_how_it_ended() {
        let (stop, asked) = watch::channel(true);
        let ends = async {
            // paces: the clock of the test stands still but for this.
            tokio::time::sleep(Duration::from_secs(13)).await;
            Err(CommandError::NoCredentials)
        };
        assert!(matches!(given_up_late(ends, asked).await, Err(CommandError::NoCredentials)));
        drop(stop);
    }
}
