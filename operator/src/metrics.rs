//! `/metrics`: what the operator does, and one set of series for each strategy and account, read from the stores when it
//! is asked for.
//!
//! Base units only. Labels are names that people gave and closed sets; never a uid or a sentence.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::ResourceExt;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tradewind_crds::objects::Kind;
use tradewind_crds::reach::{self, Subject};
use tradewind_crds::reasons::condition;
use tradewind_crds::resolve::halts::origin;
use tradewind_crds::trading_strategy::{TradingStrategy, TradingStrategyStatus};

use crate::context::Context;

/// What every Prometheus of today asks for first.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The commit the operator was built from, as its build was told.
const REVISION: &str = match option_env!("TRADEWIND_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Upper bounds in seconds.
const DURATIONS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type Labels = Vec<(&'static str, String)>;

/// Counts since the start.
#[derive(Debug)]
pub struct Metrics {
    passes: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    last: Family<Labels, Gauge<f64, AtomicU64>>,
    watch_restarts: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            passes: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            last: Family::default(),
            watch_restarts: Family::default(),
        }
    }
}

fn of(kind: &impl ToString) -> Labels {
    vec![("kind", kind.to_string())]
}

impl Metrics {
    /// A pass over an object has ended; `error` is [`crate::error::Error::reason`].
    pub fn passed(&self, kind: Kind, took: Duration, error: Option<&'static str>) {
        self.passes.get_or_create(&of(&kind)).inc();
        self.durations.get_or_create(&of(&kind)).observe(took.as_secs_f64());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.get_or_create(&of(&kind)).set(now.as_secs_f64());
        if let Some(reason) = error {
            let mut labels = of(&kind);
            labels.push(("reason", reason.to_owned()));
            self.errors.get_or_create(&labels).inc();
        }
    }

    /// A watch broke off.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_restarts.get_or_create(&of(&kind)).inc();
    }

    /// The metrics as text. Fails only if memory does not take it.
    pub fn render(ctx: &Arc<Context>) -> Result<String, fmt::Error> {
        let own = &ctx.metrics;
        let mut registry = Registry::with_prefix("tradewind");
        let mut operator = |name: &str, help: &str, family: &Family<Labels, Counter>| {
            registry.register(format!("operator_{name}"), help, family.clone());
        };
        operator("reconciles", "Passes over an object", &own.passes);
        operator("reconcile_errors", "Passes over an object that failed", &own.errors);
        operator("watch_restarts", "Watches that broke off and were opened anew", &own.watch_restarts);
        registry.register(
            "operator_reconcile_duration_seconds",
            "How long passes over an object took",
            own.durations.clone(),
        );
        registry.register(
            "operator_last_reconcile_timestamp_seconds",
            "When the last pass over an object ended",
            own.last.clone(),
        );
        registry.register_collector(Box::new(Scrape(Arc::clone(ctx))));
        let mut out = String::new();
        text::encode_registry(&mut out, &registry)?;
        Ok(out)
    }
}

/// What is read from the stores at the moment.
struct Scrape(Arc<Context>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// One gauge: labels and value of each sample.
type Samples = Vec<(Labels, i64)>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, samples: Samples| -> fmt::Result {
            if samples.is_empty() {
                return Ok(());
            }
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    metric.encode_gauge(&value)?;
                } else {
                    metric.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
            Ok(())
        };
        let ctx = &self.0;
        let built =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("revision", REVISION.to_owned())];
        gauge(
            "operator_build_info",
            "The operator's version and the commit it was built from",
            vec![(built, 1)],
        )?;
        gauge("operator_leader", "Whether this replica leads", vec![(vec![], ctx.claim.leads().into())])?;
        gauge(
            "operator_synced",
            "Whether all watches have listed once",
            vec![(vec![], ctx.synced.is_complete().into())],
        )?;
        let depth = |kind: Kind| (of(&kind), i64::try_from(ctx.queues.of(kind).depth()).unwrap_or(i64::MAX));
        gauge("operator_queue_depth", "Objects waiting or at work", Kind::ALL.map(depth).to_vec())?;
        // Both replicas would say the same; the one that leads says it.
        if !ctx.claim.leads() {
            return Ok(());
        }
        let strategies = Strategies::read(ctx);
        gauge("strategy_info", "Mode and account of a strategy", strategies.info)?;
        gauge("strategy_phase", "The phase a strategy is in", strategies.phase)?;
        gauge("strategy_condition", "The status a condition of a strategy has", strategies.condition)?;
        gauge("strategy_halted", "Whether the worker has a halt of a strategy in force", strategies.halted)?;
        gauge(
            "strategy_halt_requested",
            "Whether a strategy is to be halted: source is Spec for spec.halted, else where a TradingHalt comes from",
            strategies.requested,
        )?;
        gauge("exchange_account_ready", "Whether an account is ready", accounts(ctx))
    }
}

/// The series of all strategies.
#[derive(Default)]
struct Strategies {
    info: Samples,
    phase: Samples,
    condition: Samples,
    halted: Samples,
    requested: Samples,
}

impl Strategies {
    fn read(ctx: &Context) -> Self {
        let mut all = Self::default();
        for strategy in ctx.stores.strategies.all() {
            let labels = || {
                vec![
                    ("namespace", strategy.namespace().unwrap_or_default()),
                    ("strategy", strategy.name_any()),
                ]
            };
            let with = |more: &[(&'static str, String)]| {
                let mut labels = labels();
                labels.extend_from_slice(more);
                labels
            };
            let spec = &strategy.spec;
            let account = spec.exchange_account_ref.name.0.clone();
            all.info.push((with(&[("mode", format!("{:?}", spec.mode)), ("account", account)]), 1));
            all.requested.push((with(&[source("Spec")]), (spec.halted == Some(true)).into()));
            for origin in requested(ctx, &strategy) {
                all.requested.push((with(&[source(origin)]), 1));
            }
            let Some(status) = &strategy.status else { continue };
            if let Some(phase) = status.phase {
                all.phase.push((with(&[("phase", format!("{phase:?}"))]), 1));
            }
            for one in &status.conditions {
                let labels = with(&[("type", one.type_.clone()), ("status", one.status.clone())]);
                all.condition.push((labels, 1));
            }
            all.halted.push((labels(), is_in_force(status).into()));
        }
        all
    }
}

fn source(from: &str) -> (&'static str, String) {
    ("source", from.to_owned())
}

/// Where the TradingHalts that reach the strategy come from, each once.
fn requested(ctx: &Context, strategy: &TradingStrategy) -> BTreeSet<&'static str> {
    let namespace = strategy.namespace().unwrap_or_default();
    let halts = ctx.stores.halts_for(&namespace);
    let operator = Some(ctx.settings.namespace.as_str());
    let reach = halts.iter().filter(|halt| {
        reach::reaches(halt, Subject::of(strategy), operator) && reach::concerns(halt, strategy)
    });
    reach.map(|halt| (&origin(halt)).into()).collect()
}

/// Whether the worker acknowledges one of the halts that hold.
fn is_in_force(status: &TradingStrategyStatus) -> bool {
    let (Some(halt), Some(applied)) = (&status.halt, &status.applied) else { return false };
    halt.sources.iter().filter_map(|source| source.uid.as_ref()).any(|uid| applied.halts.contains(uid))
}

fn accounts(ctx: &Context) -> Samples {
    let one = |account: Arc<tradewind_crds::exchange_account::ExchangeAccount>| {
        let status = account.status.as_ref();
        let ready = status.is_some_and(|status| {
            status.conditions.iter().any(|one| one.type_ == condition::READY && one.status == "True")
        });
        let labels = vec![
            ("namespace", account.namespace().unwrap_or_default()),
            ("account", account.name_any()),
            ("venue", status.and_then(|status| status.venue.clone()).unwrap_or_default()),
        ];
        (labels, ready.into())
    };
    ctx.stores.accounts.all().into_iter().map(one).collect()
}
