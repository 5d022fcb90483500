//! What opening a ledger means in every database: its first rows, whose it is, a quick check, and the next epoch.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::Timestamp;

use super::{Dialect, Scope, outbox, read, verify};
use crate::chain::{Value, genesis};
use crate::error::LedgerError;
use crate::outbox::OutboxOptions;
use crate::rows::whole;

/// Who opens a ledger for writing.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    /// The account it must belong to.
    pub(crate) account: Uid,
    /// The account's name.
    pub(crate) account_name: SmolStr,
    /// Worker and pod, say.
    pub(crate) owner: String,
    /// The present time, for people.
    pub(crate) now: Timestamp,
    /// Tag of a new ledger.
    pub(crate) incarnation: Incarnation,
}

/// Whose ledger may be opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// That of the opener's account alone.
    Ours,
    /// Any account's; but one that the opener had before only if no other worker has opened it since.
    Anyone {
        /// The tag of the ledger that the opener had before.
        known: Option<Incarnation>,
    },
    /// That of the opener's account, for a change that a person makes: its worker stays the one who opened it last.
    Visitor,
}

/// The row of `ledger` of a new ledger: account, name, incarnation, time of creation.
pub(crate) fn identity_row(opener: &Opener) -> Vec<Value<'static>> {
    vec![
        Value::text(opener.account.to_string()),
        Value::text(opener.account_name.as_str()),
        Value::Int(i64::from(opener.incarnation.0)),
        Value::Int(opener.now.0),
    ]
}

/// Writes the other single rows of a new ledger.
pub(crate) async fn found<D: Dialect>(db: &mut Scope<'_, D>, opener: &Opener) -> Result<(), LedgerError> {
    let account = opener.account.to_string();
    let incarnation = i64::from(opener.incarnation.0);
    let hash = genesis(&account, &opener.account_name, incarnation, opener.now.0);
    let head = "INSERT INTO chain_head (OWNER, seq, hash, epoch, owner, opened_at) \
        VALUES (OWNER(), 0, ?, 0, '', 0)";
    db.execute(head, vec![Value::text(hash.to_hex().to_string())]).await?;
    let checkpoint = "INSERT INTO checkpoint (OWNER, body, hash) VALUES (OWNER(), '', '')";
    db.execute(checkpoint, Vec::new()).await.map(drop)
}

/// Checks whose ledger it is and that its end is as written, and makes it ours: from then on nobody who had it before can
/// commit. Done twice, it raises the epoch twice, which harms nobody.
pub(crate) async fn adopt<D: Dialect>(
    db: &mut Scope<'_, D>,
    opener: &Opener,
    owner: Owner,
) -> Result<LedgerIdentity, LedgerError> {
    let context = &mut *db.context;
    let mut tx = D::begin_writing(db.conn).await.map_err(|e| D::fault(&context.place, e))?;
    let mut scope = Scope::<D> { conn: &mut tx, context };
    let identity = take(&mut scope, opener, owner).await?;
    bring_up_positions(&mut scope).await?;
    tx.commit().await.map_err(|e| D::fault(&context.place, e))?;
    Ok(identity)
}

async fn take<D: Dialect>(
    db: &mut Scope<'_, D>,
    opener: &Opener,
    owner: Owner,
) -> Result<LedgerIdentity, LedgerError> {
    // The one before may be committing: all is looked at before or after that, not in between.
    read::writer_row_locked(db).await?;
    let row = read::ledger_row(db).await?;
    if matches!(owner, Owner::Ours | Owner::Visitor) && row.account != opener.account.to_string() {
        return Err(LedgerError::OtherAccount {
            place: db.place().clone(),
            found: format!("{} ({})", row.account_name, row.account),
            wanted: format!("{} ({})", opener.account_name, opener.account),
        });
    }
    let present = verify::tail(db).await?;
    let last = read::opened_by(db).await?;
    if owner == (Owner::Anyone { known: Some(row.incarnation) }) && last != opener.owner {
        return Err(LedgerError::OpenedSince { place: db.place().clone(), by: last });
    }
    let worker = if owner == Owner::Visitor { last.as_str() } else { &opener.owner };
    let epoch = Epoch(present.epoch.0.saturating_add(1));
    let raise =
        "UPDATE chain_head SET epoch = ?, owner = ?, opened_at = ? WHERE OWN(chain_head) AND epoch = ?";
    let values = vec![
        Value::Int(whole("epoch", epoch.0)?),
        Value::text(worker),
        Value::Int(opener.now.0),
        Value::Int(whole("epoch", present.epoch.0)?),
    ];
    if db.execute(raise, values).await? == 1 {
        return Ok(LedgerIdentity { incarnation: row.incarnation, epoch });
    }
    let theirs = read::writer_row(db).await?.epoch;
    Err(LedgerError::Fenced { ours: epoch, theirs })
}

/// A ledger with fills and without positions is of a version that kept none: they are folded once.
async fn bring_up_positions<D: Dialect>(db: &mut Scope<'_, D>) -> Result<(), LedgerError> {
    let lacking = "SELECT COUNT(*) FROM fills WHERE OWN(fills) AND NOT EXISTS \
        (SELECT 1 FROM positions WHERE OWN(positions))";
    if db.number(lacking, Vec::new()).await? == 0 {
        return Ok(());
    }
    let folded = verify::fold(db).await?;
    let mut names = BTreeMap::new();
    for (strategy, name) in read::names(db).await? {
        names.insert(folded.owner(strategy), name);
    }
    for (strategy, symbol, held) in folded.position_rows() {
        let insert = "INSERT INTO positions (OWNER, strategy, symbol, quantity, cost, strategy_name) \
            VALUES (OWNER(), ?, ?, ?, ?, ?)";
        let uid = strategy.to_string();
        let name = names.get(&strategy).map_or_else(|| uid.clone(), ToString::to_string);
        let values = [uid, symbol.to_string(), held.quantity.to_string(), held.cost.to_string(), name];
        db.execute(insert, values.map(Value::text).into()).await?;
    }
    Ok(())
}

/// Says whether events are written to an outbox, as the writer of that epoch.
pub(crate) async fn publish<D: Dialect>(
    db: &mut Scope<'_, D>,
    ours: Epoch,
    options: Option<&OutboxOptions>,
) -> Result<(), LedgerError> {
    let context = &mut *db.context;
    let mut tx = D::begin_writing(db.conn).await.map_err(|e| D::fault(&context.place, e))?;
    let mut scope = Scope::<D> { conn: &mut tx, context };
    let theirs = read::writer_row_locked(&mut scope).await?.epoch;
    if theirs != ours {
        return Err(LedgerError::Fenced { ours, theirs });
    }
    // An account that never had a bus has no row.
    if options.is_some() || outbox::standing(&mut scope).await?.is_some() {
        outbox::set(&mut scope, options).await?;
    }
    tx.commit().await.map_err(|e| D::fault(&context.place, e))
}
