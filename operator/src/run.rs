//! The whole program after its arguments are read: client, custom resources, watches, leadership, work, shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::client::{self, ClientError};
use crate::context::Context;
use crate::http::{HttpError, Server};
use crate::leader::Leader;
use crate::settings::Settings;
use crate::{controllers, watch as watches};

/// How long passes under way may take to end at a shutdown.
const DRAIN: Duration = Duration::from_secs(15);
/// The longest pause before the custom resources are asked for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no runtime.
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(#[source] io::Error),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The endpoints cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A part that must not end has ended.
    #[error("the task {0} has ended; the operator ends too, so that another replica takes over")]
    Ended(&'static str),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let config = client::config().await?;
    let (main, lease) = (client::client(&config)?, client::client(&config)?);
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(settings, main, lease, shutdown).await
}

/// Runs with these clients until `shutdown` ends: what [`run`] does, without signals.
pub async fn serve(
    settings: Settings,
    main: Client,
    lease: Client,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let server = Server::bind(settings.http_address).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = settings.namespace,
        replica = settings.pod_name,
        http = %server.address,
        "the operator starts"
    );
    let (leader, claim) = Leader::new(lease, &settings);
    let ctx = Context::new(main, settings, claim);
    let (stop_work, stop_lead, stop_http) = (Stop::default(), Stop::default(), Stop::default());
    let http = tokio::spawn(server.run(Arc::clone(&ctx), stop_http.asked()));
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = crds(&ctx) => {}
        () = &mut shutdown => return Ok(()),
    }
    let mut watches = tokio::task::JoinSet::new();
    for watch in watches::all(&ctx) {
        watches.spawn(watch);
    }
    let mut leading = tokio::spawn(leader.run(stop_lead.asked()));
    let mut working = std::pin::pin!(controllers::run(Arc::clone(&ctx), stop_work.asked()));
    tokio::select! {
        () = &mut shutdown => {}
        _ = &mut leading => return Err(RunError::Ended("leader")),
        () = &mut working => return Err(RunError::Ended("controllers")),
        _ = watches.join_next() => return Err(RunError::Ended("watch")),
    }
    tracing::info!("the operator was asked to end; passes under way are finished");
    // First the work, then the Lease, then the endpoints: nobody else leads while we still write.
    stop_work.ask();
    if tokio::time::timeout(DRAIN, working).await.is_err() {
        tracing::warn!("passes were still under way after {} s and are cut off", DRAIN.as_secs());
    }
    stop_lead.ask();
    // An error would be a panic of a task that is no longer needed.
    let _ = leading.await;
    stop_http.ask();
    let _ = http.await;
    Ok(())
}

/// Waits until the API server serves the custom resources; says what is missing whenever that changes.
async fn crds(ctx: &Context) {
    let (mut pause, mut said) = (Duration::from_secs(1), String::new());
    while let Err(error) = client::check_crds(&ctx.client).await {
        let error = error.to_string();
        if error != said {
            tracing::error!("{error}");
            said = error;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Something that can be asked to stop.
struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Stop {
    fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Ends when it was asked.
    fn asked(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut asked = self.0.subscribe();
        async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = asked.wait_for(|asked| *asked).await;
        }
    }
}
