//! Clocks that step back. Time comes with the bars; what a clock on the wall says decides nothing.

use std::path::Path;

use tradewind_core::event::{Event, EventKind};
use tradewind_core::time::Timestamp;
use tradewind_tests::block_on;
use tradewind_tests::desk::{BUSY, Desk};
use tradewind_tests::inside::{Inside, Watched};

#[test]
fn bars_that_were_seen_before_are_ignored_whatever_they_say_now() {
    let desk = Desk::new(BUSY, 200);
    let inside = Inside::load(&desk.file());
    block_on(async {
        let mut driver = inside.in_memory(Watched::default()).await;
        for group in &inside.groups[..100] {
            driver.on_bars(group, inside.interval).await.unwrap();
        }
        let (now, account) = (driver.state.now(), driver.state.account_view());
        let (told, orders) = (driver.observer.0.len(), driver.state.open_orders());
        assert!(!orders.is_empty(), "no stop rests, so that a wrong bar could set nothing off");
        for (step, group) in inside.groups[60..100].iter().enumerate() {
            let mut again = group.clone();
            for (_, bar) in &mut again {
                // As they were, then as they never were.
                let price = if step % 2 == 0 { bar.low } else { tradewind_core::money::Price(bar.low.0 / 2) };
                (bar.low, bar.close) = (price, price);
            }
            driver.on_bars(&again, inside.interval).await.unwrap();
        }
        assert_eq!(driver.state.now(), now, "event time has gone back");
        assert_eq!(driver.state.account_view(), account, "an old bar has moved equity");
        assert_eq!(
            (driver.observer.0.len(), driver.state.open_orders()),
            (told, orders),
            "an old bar had an effect"
        );

        for group in &inside.groups[100..] {
            driver.on_bars(group, inside.interval).await.unwrap();
        }
        let mut alone = inside.in_memory(Watched::default()).await;
        for group in &inside.groups {
            alone.on_bars(group, inside.interval).await.unwrap();
        }
        assert_eq!(driver.observer.0, alone.observer.0, "later decisions are as if nothing had been");
    });
}

#[test]
fn an_event_stamped_earlier_does_not_take_time_back() {
    let desk = Desk::new(BUSY, 60);
    let inside = Inside::load(&desk.file());
    block_on(async {
        let mut driver = inside.in_memory(Watched::default()).await;
        for group in &inside.groups {
            driver.on_bars(group, inside.interval).await.unwrap();
        }
        let mut state = driver.state.clone();
        let (now, equity) = (state.now(), state.account_view().equity);
        let mut effects = Vec::new();
        for earlier in [now.0 - 1, 0, i64::MIN] {
            state.step(&Event { now: Timestamp(earlier), kind: EventKind::Timer }, &mut effects);
            assert_eq!((state.now(), state.account_view().equity), (now, equity));
        }
        assert_eq!(effects, []);
    });
}

/// Places where the worker asks for the time of day: to say for people when a ledger was opened, and when a halt was
/// made while no worker ran. Whoever adds one must see that no decision depends on it.
#[test]
fn the_wall_clock_is_asked_for_people_only() {
    let root = tradewind_tests::binary::root();
    let mut asking = Vec::new();
    let mut folders = vec![root.join("worker"), root.join("crds")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") && !path.ends_with("examples") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && asks(&path) {
                asking.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    asking.sort();
    // In a cluster: the times of the Lease, of the status and of the ledger's opening.
    let for_people = [
        "worker/src/cluster/lease/keeper.rs",
        "worker/src/cluster/surroundings.rs",
        "worker/src/cluster/worker.rs",
        "worker/src/commands/control.rs",
        "worker/src/commands/ledger.rs",
        "worker/src/commands/run.rs",
        // At a real venue, once: what has passed since is measured.
        "worker/src/session/connect.rs",
        // Compares when files were changed.
        "worker/venues/src/binance_us/credentials.rs",
    ];
    assert_eq!(asking, for_people);
}

fn asks(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    ["SystemTime", "Timestamp::now()", "Zoned::now()", "Utc::now()", "UNIX_EPOCH"]
        .iter()
        .any(|word| text.contains(word))
}
