//! What the account holds: balances, open orders and trades.

use std::collections::BTreeMap;

use tradewind_core::name::Symbol;
use tradewind_core::recovery::FillCursor;

use super::reply::{Account, Owner, ReplyError, Trade};
use super::request::{TRADES_PAGE, Trades};
use super::rules::SymbolRules;
use super::{BinanceError, BinanceUs, Need, reply, request};
use crate::port::{FillPage, OpenOrders};

impl BinanceUs {
    /// The account's rights and balances.
    pub async fn read_account(&mut self) -> Result<Account, BinanceError> {
        const WHAT: &str = "the balances";
        let exact = request::account(self.signing_time().await?);
        let answer = self.read(WHAT, &exact, Need::Urgent).await?;
        reply::account(&answer.body).map_err(|source| BinanceError::Reply { what: WHAT, source })
    }

    /// The open orders of all instruments, asked for by instrument: all at once costs as much as thirteen of them.
    pub(super) async fn read_open_orders(&mut self) -> Result<OpenOrders, BinanceError> {
        const WHAT: &str = "the open orders";
        let mut all = OpenOrders::default();
        for rules in self.all_rules() {
            let exact = request::open_orders(self.signing_time().await?, &rules);
            let answer = self.read(WHAT, &exact, Need::Urgent).await?;
            let wrong = |source| BinanceError::Reply { what: WHAT, source };
            let mut orders = reply::orders(&answer.body).map_err(wrong)?;
            orders.sort_by_key(|order| order.order_id);
            for order in orders {
                self.remember(&rules, order.order_id, order.owner());
                match order.snapshot(&rules).map_err(wrong)? {
                    Ok(order) => all.orders.push(order),
                    Err(external) => all.external.push(external),
                }
            }
        }
        Ok(all)
    }

    fn all_rules(&self) -> Vec<SymbolRules> {
        self.symbols.values().cloned().collect()
    }

    /// A page of trades of each instrument. An instrument that was never read begins after its latest trade: whatever
    /// was traded before this ledger is not its business.
    pub(super) async fn read_fills(&mut self, cursor: &FillCursor) -> Result<FillPage, BinanceError> {
        let mut next: BTreeMap<Symbol, u64> = match cursor {
            FillCursor::ByInstrument(known) => known.clone(),
            FillCursor::Sequence(0) => BTreeMap::new(),
            FillCursor::Sequence(_) => return Err(BinanceError::ForeignCursor),
        };
        let mut page = FillPage::default();
        for rules in self.all_rules() {
            let symbol = rules.rules.symbol.clone();
            match next.get(&symbol).copied() {
                None => {
                    let latest = self.trades(Trades::Latest, &rules).await?;
                    next.insert(symbol, latest.last().map_or(0, |trade| trade.id));
                }
                Some(last) => {
                    let trades = self.trades(Trades::From(last.saturating_add(1)), &rules).await?;
                    if let Some(trade) = trades.last() {
                        next.insert(symbol, trade.id);
                    }
                    for trade in trades.iter().filter(|trade| trade.id > last) {
                        self.sort(trade, &rules, &mut page).await?;
                    }
                }
            }
        }
        page.next = FillCursor::ByInstrument(next);
        Ok(page)
    }

    async fn trades(&mut self, which: Trades, rules: &SymbolRules) -> Result<Vec<Trade>, BinanceError> {
        const WHAT: &str = "the trades";
        let exact = request::my_trades(which, self.signing_time().await?, rules);
        let answer = self.read(WHAT, &exact, Need::Urgent).await?;
        let trades =
            reply::trades(&answer.body).map_err(|source| BinanceError::Reply { what: WHAT, source })?;
        if trades.len() > TRADES_PAGE {
            let source = ReplyError::Contradiction { what: "more trades than were asked for" };
            return Err(BinanceError::Reply { what: WHAT, source });
        }
        Ok(trades)
    }

    /// Trades name their order by the venue's number alone; whose it is may have to be asked for.
    async fn sort(
        &mut self,
        trade: &Trade,
        rules: &SymbolRules,
        page: &mut FillPage,
    ) -> Result<(), BinanceError> {
        let wrong = |source| BinanceError::Reply { what: "the trades", source };
        match self.owner(trade.order_id, rules).await? {
            Owner::Worker(id) => page.fills.push(trade.fill(id, rules).map_err(wrong)?),
            Owner::External(_) => page.external.push(trade.external(rules).map_err(wrong)?),
        }
        Ok(())
    }

    async fn owner(&mut self, order_id: u64, rules: &SymbolRules) -> Result<Owner, BinanceError> {
        const WHAT: &str = "the order of a trade";
        if let Some(owner) = self.owners.get(&(rules.venue_symbol.clone(), order_id)) {
            return Ok(owner.clone());
        }
        let exact = request::look_up_by_number(order_id, self.signing_time().await?, rules);
        let answer = self.read(WHAT, &exact, Need::Urgent).await?;
        let order =
            reply::order(&answer.body).map_err(|source| BinanceError::Reply { what: WHAT, source })?;
        if order.order_id != order_id {
            let source = ReplyError::Contradiction { what: "it is about another order" };
            return Err(BinanceError::Reply { what: WHAT, source });
        }
        let owner = order.owner();
        self.remember(rules, order_id, owner.clone());
        Ok(owner)
    }
}
