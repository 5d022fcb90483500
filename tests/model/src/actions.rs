//! All that can happen next, and what it does.

use tradewind_core::order::Side;
use tradewind_core::protocol::{OrderInput, Stage};
use tradewind_core::time::{Millis, Timestamp};

use crate::venue::{self, Sight, Verdict};
use crate::worker::{LookedUp, Worker};
use crate::world::{Bounds, LEASE, World};

/// Something that happens. The first number is the worker, the second one of its orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A worker opens the ledger, whoever had it.
    Open(usize),
    /// The second worker opens a copy of the ledger on its own node; whether it is behind by the last commit.
    Part(bool),
    /// A worker hears that people halt entries, or resume.
    Halt(usize, bool),
    /// A worker lets an entry lapse in a halt.
    Lapse(usize, usize),
    /// A worker is killed.
    Crash(usize),
    /// The ledger loses its last commit.
    RollBack,
    /// A worker takes stock of the venue.
    Survey(usize, Sight),
    /// A worker decides to buy.
    Enter(usize),
    /// A worker decides to sell what it holds.
    Exit(usize),
    /// A worker commits what waits.
    Commit(usize),
    /// A worker sends.
    Send(usize, usize),
    /// A worker is about to send, and its budget is used up.
    Throttle(usize, usize),
    /// A worker lets a signature go unused.
    Withhold(usize, usize),
    /// A worker signs anew.
    Renew(usize, usize),
    /// A worker no longer waits for the answer.
    LoseTrack(usize, usize),
    /// A worker asks for an order by its id.
    LookUp(usize, usize, Sight),
    /// A worker reads its fills.
    TakeFills(usize),
    /// A worker cancels; whether the answer arrives.
    Cancel(usize, usize, bool),
    /// A request arrives; what comes of it, and whether the answer arrives.
    Deliver(usize, Verdict, bool),
    /// A request never arrives.
    Drop(usize),
    /// An order at the venue fills.
    Fill(usize),
}

/// Lists what may happen; what turns out to change nothing is left out when it is taken.
pub(crate) fn offer(bounds: &Bounds, world: &World, actions: &mut Vec<Action>) {
    if world.broken.is_some() {
        return;
    }
    if world.now.0 < bounds.horizon {
        actions.push(Action::Tick);
    }
    if world.left.rollbacks > 0 && world.ledger.before.is_some() {
        actions.push(Action::RollBack);
    }
    for (index, worker) in world.workers.iter().enumerate() {
        match worker {
            None if world.left.openings > 0 => {
                if bounds.nodes && index == 1 && world.other.is_none() {
                    actions.extend([true, false].map(Action::Part));
                } else {
                    actions.push(Action::Open(index));
                }
            }
            None => {}
            Some(worker) => offer_worker(bounds, world, index, worker, actions),
        }
    }
    for (index, letter) in world.wire.iter().enumerate() {
        actions.push(Action::Drop(index));
        for verdict in [Verdict::Accept, Verdict::Refuse] {
            if venue::possible(bounds, world, letter, verdict) {
                actions.extend([true, false].map(|answered| Action::Deliver(index, verdict, answered)));
            }
        }
    }
    let open = world.placed.iter().enumerate().filter(|(_, placed)| placed.is_open());
    actions.extend(open.map(|(index, _)| Action::Fill(index)));
}

fn offer_worker(bounds: &Bounds, world: &World, index: usize, worker: &Worker, actions: &mut Vec<Action>) {
    if world.left.crashes > 0 {
        actions.push(Action::Crash(index));
    }
    if !worker.pending.is_empty() {
        actions.push(Action::Commit(index));
    }
    if !worker.settled {
        if world.now >= worker.first_send {
            actions.extend(Sight::EVERY.map(|sight| Action::Survey(index, sight)));
        }
        return;
    }
    if worker.may_enter(bounds) {
        actions.push(Action::Enter(index));
    }
    if world.left.halts > 0 {
        actions.push(Action::Halt(index, !worker.halted));
    }
    if worker.may_exit(bounds) {
        actions.push(Action::Exit(index));
    }
    actions.push(Action::TakeFills(index));
    for (order, own) in worker.orders.iter().enumerate() {
        actions.extend([
            Action::Send(index, order),
            Action::Withhold(index, order),
            Action::LoseTrack(index, order),
            Action::Lapse(index, order),
        ]);
        if world.left.throttles > 0 {
            actions.push(Action::Throttle(index, order));
        }
        match own.life.stage() {
            Stage::Accepted | Stage::PartiallyFilled if world.left.cancels > 0 => {
                actions.extend([true, false].map(|answered| Action::Cancel(index, order, answered)));
            }
            _ => {}
        }
        if !own.life.state().is_terminal() {
            // Absent orders are signed anew in the step in which they turn absent; any other never.
            actions.push(Action::Renew(index, order));
            actions.extend(Sight::EVERY.map(|sight| Action::LookUp(index, order, sight)));
        }
    }
}

/// Lets it happen; false when nothing came of it.
pub(crate) fn take(bounds: &Bounds, world: &mut World, action: Action) -> bool {
    let now = world.now;
    match action {
        Action::Tick => {
            world.now = Timestamp(now.0 + 1);
            true
        }
        Action::Open(index) => open(bounds, world, index),
        Action::Part(behind) => part(bounds, world, behind),
        Action::Crash(index) => {
            world.left.crashes -= 1;
            vacate(world, index)
        }
        Action::RollBack => roll_back(world),
        Action::Deliver(index, verdict, answered) => deliver(world, index, verdict, answered),
        Action::Drop(index) => {
            world.wire.remove(index);
            true
        }
        Action::Fill(index) => fill(bounds, world, index),
        Action::Commit(index) => commit(bounds, world, index),
        Action::Cancel(index, order, answered) => cancel(world, index, order, answered),
        Action::Survey(index, _)
        | Action::Enter(index)
        | Action::Exit(index)
        | Action::Send(index, _)
        | Action::Throttle(index, _)
        | Action::Withhold(index, _)
        | Action::Lapse(index, _)
        | Action::Halt(index, _)
        | Action::Renew(index, _)
        | Action::LoseTrack(index, _)
        | Action::LookUp(index, _, _)
        | Action::TakeFills(index) => {
            // Taken out and put back, so that it may look at the world.
            let Some(mut worker) = world.workers.get_mut(index).and_then(Option::take) else { return false };
            let done = act(bounds, world, &mut worker, action);
            if let Some(place) = world.workers.get_mut(index) {
                *place = Some(worker);
            }
            done
        }
    }
}

/// What a worker does by itself.
fn act(bounds: &Bounds, world: &mut World, worker: &mut Worker, action: Action) -> bool {
    let now = world.now;
    match action {
        Action::Survey(_, sight) => {
            world.reached.inherited |= worker.halted;
            world.reached.lost_seen |= worker.survey(&world.placed, now, sight);
            true
        }
        Action::Enter(_) => {
            worker.decide(Side::Buy, now);
            true
        }
        Action::Exit(_) => {
            worker.decide(Side::Sell, now);
            true
        }
        Action::Send(_, order) => {
            let letter = worker.send(order, now);
            let sent = letter.is_some();
            world.wire.extend(letter);
            world.wire.sort();
            sent
        }
        Action::Throttle(_, order) => {
            world.left.throttles -= 1;
            worker.send(order, now).is_some() && worker.apply(order, OrderInput::Throttle)
        }
        Action::Halt(_, halted) => {
            world.left.halts -= 1;
            worker.hear(halted)
        }
        Action::Lapse(_, order) => {
            let lapsed = worker.lapse(order);
            world.reached.lapsed |= lapsed;
            lapsed
        }
        Action::Withhold(_, order) => worker.withhold(order, now, bounds),
        Action::Renew(_, order) => worker.renew(order, now),
        Action::LoseTrack(_, order) => {
            let before = worker.orders.get(order).map(|o| o.life);
            worker.apply(order, OrderInput::LoseTrack) && before != worker.orders.get(order).map(|o| o.life)
        }
        Action::LookUp(_, order, sight) => {
            let LookedUp { changed, adopted, renewed } =
                worker.look_up(bounds, order, &world.placed, now, sight);
            world.reached.adopted |= adopted;
            world.reached.renewed |= renewed;
            changed
        }
        Action::TakeFills(_) => worker.take_fills(&world.placed),
        _ => false,
    }
}

fn open(bounds: &Bounds, world: &mut World, index: usize) -> bool {
    world.left.openings -= 1;
    let (lease, now) = (world.lease, world.now);
    let believed = if bounds.nodes { LEASE } else { Millis(0) };
    let worker = Worker::open(world.ledger_of(index), lease, now, believed);
    world.lease = worker.epoch;
    if bounds.nodes {
        // Whoever had the Lease believes in it for a while; no ledger keeps it from sending.
        for before in world.workers.iter_mut().flatten() {
            before.believes_until = before.believes_until.min(now.plus(LEASE));
        }
    }
    let Some(place) = world.workers.get_mut(index) else { return false };
    *place = Some(worker);
    true
}

/// Where the copy is behind, its owner's last commit is not in it. The first ledger goes on with its own worker.
fn part(bounds: &Bounds, world: &mut World, behind: bool) -> bool {
    let mut copy = world.ledger.clone();
    if behind {
        let Some(before) = copy.before.take() else { return false };
        copy.rows = before;
        world.rolled_back = true;
    }
    world.other = Some(copy);
    open(bounds, world, 1)
}

fn vacate(world: &mut World, index: usize) -> bool {
    let Some(place) = world.workers.get_mut(index) else { return false };
    place.take().is_some()
}

/// The epoch is not rolled back: an opening that is lost is noticed by the copy on the Lease.
fn roll_back(world: &mut World) -> bool {
    let Some(before) = world.ledger.before.take() else { return false };
    world.left.rollbacks -= 1;
    world.rolled_back = true;
    world.ledger.rows = before;
    true
}

fn commit(bounds: &Bounds, world: &mut World, index: usize) -> bool {
    let keep = world.left.rollbacks > 0 || bounds.nodes && world.other.is_none();
    let Some(mut worker) = world.workers.get_mut(index).and_then(Option::take) else { return false };
    // A worker whose commit is refused ends: its next start is the recovery.
    let committed = worker.commit(world.ledger_of(index), keep);
    if let Some(place) = world.workers.get_mut(index).filter(|_| committed) {
        *place = Some(worker);
    }
    true
}

fn deliver(world: &mut World, index: usize, verdict: Verdict, answered: bool) -> bool {
    let letter = world.wire.remove(index);
    if verdict == Verdict::Accept {
        venue::accept(world, &letter);
    }
    let input = match verdict {
        Verdict::Accept => OrderInput::Accept,
        Verdict::Refuse => OrderInput::Reject,
    };
    if answered {
        // Only who waits for it hears the answer.
        for worker in world.workers.iter_mut().flatten().filter(|w| w.epoch == letter.epoch) {
            let waits = |stage: Stage| matches!(stage, Stage::Sent { signature } if signature.signed_at.0 == letter.signed_at);
            let waiting =
                worker.orders.iter().position(|o| o.intent == letter.intent && waits(o.life.stage()));
            if let Some(order) = waiting {
                worker.apply(order, input);
            }
        }
    }
    true
}

fn fill(bounds: &Bounds, world: &mut World, index: usize) -> bool {
    let (now, held) = (world.now, world.held());
    let Some(placed) = world.placed.get_mut(index) else { return false };
    let rest = placed.lots - placed.filled;
    let lots = if bounds.partial_fills { 1 } else { rest };
    // Coins that are not there cannot be sold.
    if placed.side == Side::Sell && !bounds.foreign_coins && held < lots {
        return false;
    }
    placed.filled += lots;
    placed.changed_at = now;
    true
}

fn cancel(world: &mut World, index: usize, order: usize, answered: bool) -> bool {
    let now = world.now;
    let Some(Some(worker)) = world.workers.get_mut(index) else { return false };
    let Some(own) = worker.orders.get_mut(order) else { return false };
    own.cancelling = true;
    let id = crate::world::client_id(own.intent);
    let Some(placed) = world.placed.iter_mut().rev().find(|p| p.id == id && p.is_open()) else {
        return false;
    };
    placed.cancelled = true;
    placed.changed_at = now;
    world.left.cancels -= 1;
    if answered {
        worker.end(order, placed.filled);
    }
    true
}
