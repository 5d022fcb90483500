//! What every pass over an object has at hand.

use std::sync::Arc;

use kube::Client;
use tradewind_crds::objects::ObjectId;

use crate::events::Events;
use crate::leader::Claim;
use crate::metrics::Metrics;
use crate::queue::Queues;
use crate::settings::Settings;
use crate::stores::Stores;
use crate::stores::synced::Synced;
use crate::{apply, latch};

/// What every pass over an object has at hand.
pub struct Context {
    /// The client of all passes: no retries of its own, since a pass is repeated as a whole.
    pub client: Client,
    /// How the operator was started.
    pub settings: Settings,
    /// What the watches have seen.
    pub stores: Stores,
    /// Whether they have seen everything there is.
    pub synced: Synced,
    /// Writes events.
    pub events: Events,
    /// Counts.
    pub metrics: Metrics,
    /// What is to be looked at; [`Context::look_at`] adds to it.
    pub queues: Queues,
    /// Whether this replica leads.
    pub claim: Claim,
    /// What was last applied for each account.
    pub applied: apply::Memory,
    /// What the latch remembers.
    pub latch: latch::Memory,
}

impl Context {
    /// A context around a client; nothing runs yet.
    pub fn new(client: Client, settings: Settings, claim: Claim) -> Arc<Self> {
        let events = Events::new(client.clone(), &settings.pod_name);
        Arc::new(Self {
            stores: Stores::new(&settings.namespace),
            synced: Synced::default(),
            client,
            settings,
            events,
            metrics: Metrics::default(),
            queues: Queues::default(),
            claim,
            applied: apply::Memory::default(),
            latch: latch::Memory::default(),
        })
    }

    /// Has an object looked at soon, such as one whose state depends on what was just written.
    pub fn look_at(&self, id: &ObjectId) {
        self.queues.of(id.kind).push(id.key.clone());
    }
}
