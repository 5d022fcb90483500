use super::*;
use crate::objects::Kind;

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

fn claim(number: u128, capital: &str, assets: &[&str]) -> Claim {
    Claim {
        uid: uid(number),
        id: ObjectId::new(Kind::TradingStrategy, Key::new("default", format!("s{number}"))),
        capital: Cash::parse(capital).unwrap(),
        assets: assets
            .iter()
            .map(|asset| ("spec.instruments[0].symbol".into(), asset.parse().unwrap()))
            .collect(),
        grantable: true,
    }
}

fn decide(previous: &Grants, whole: Option<&str>, claims: &[Claim]) -> Grants {
    grant(&Key::new("default", "paper"), previous, whole.map(|w| Cash::parse(w).unwrap()), claims)
}

/// Who has how much.
fn shares(grants: &Grants) -> Vec<(u128, String)> {
    grants.granted.iter().map(|grant| (grant.uid.0.as_u128(), grant.capital.to_string())).collect()
}

fn refusal(grants: &Grants, number: u128) -> String {
    grants.refused.get(&uid(number)).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn the_oldest_claim_comes_first_and_the_sum_stays_within_the_account() {
    let claims = [claim(1, "6000", &["BTC"]), claim(2, "8000", &["ETH"]), claim(3, "4000", &["SOL"])];
    let grants = decide(&Grants::default(), Some("10000"), &claims);
    assert_eq!(shares(&grants), [(1, "6000".to_owned()), (3, "4000".to_owned())]);
    assert_eq!(
        refusal(&grants, 2),
        "TradingStrategy default/s2: spec.capital.amount (8000): exceeds the 4000 still free on account paper; lower it to 4000 or give the account more"
    );
    let one_more = decide(&grants, Some("10000"), &[&claims[..], &[claim(4, "0.01", &["ADA"])]].concat());
    assert_eq!(
        refusal(&one_more, 4),
        "TradingStrategy default/s4: spec.capital.amount (0.01): exceeds the 0 still free on account paper; lower the capital of another strategy or give the account more"
    );
}

#[test]
fn a_base_asset_belongs_to_one_strategy() {
    let claims = [claim(1, "1", &["BTC", "ETH"]), claim(2, "1", &["SOL", "ETH"])];
    let grants = decide(&Grants::default(), Some("10"), &claims);
    assert_eq!(shares(&grants).len(), 1);
    assert_eq!(
        refusal(&grants, 2),
        "TradingStrategy default/s2: spec.instruments[0].symbol (ETH): base asset ETH is already granted to strategy s1; remove the symbol from one of the two or use another account"
    );
}

#[test]
fn a_grant_is_kept_until_its_strategy_is_gone() {
    let young = [claim(2, "9000", &["BTC"])];
    let held = decide(&Grants::default(), Some("10000"), &young);
    // An older strategy turns up later, and the account shrinks: what is granted stays granted.
    let both = [claim(1, "5000", &["BTC"]), claim(2, "9000", &["BTC"])];
    let later = decide(&held, Some("8000"), &both);
    assert_eq!(shares(&later), [(2, "9000".to_owned())]);
    assert_eq!(later.refused.keys().copied().collect::<Vec<_>>(), [uid(1)]);
    let gone = decide(&later, Some("8000"), &both[..1]);
    assert_eq!(shares(&gone), [(1, "5000".to_owned())]);
}

#[test]
fn a_raise_that_does_not_fit_keeps_the_old_grant_and_a_cut_frees_money() {
    let held = decide(&Grants::default(), Some("10"), &[claim(1, "6", &["BTC"]), claim(2, "4", &["ETH"])]);
    let raised = decide(&held, Some("10"), &[claim(1, "7", &["BTC"]), claim(2, "4", &["ETH"])]);
    assert_eq!(shares(&raised), [(1, "6".to_owned()), (2, "4".to_owned())]);
    assert!(refusal(&raised, 1).contains("exceeds the 6 still free"), "{}", refusal(&raised, 1));
    let cut = decide(&held, Some("10"), &[claim(1, "5", &["BTC"]), claim(2, "5", &["ETH"])]);
    assert_eq!(shares(&cut), [(1, "5".to_owned()), (2, "5".to_owned())]);
}

#[test]
fn a_strategy_that_cannot_run_takes_nothing_from_another_and_still_learns_what_would_not_fit() {
    let invalid = Claim { grantable: false, ..claim(1, "9", &["BTC"]) };
    let grants = decide(&Grants::default(), Some("10"), &[invalid.clone(), claim(2, "9", &["BTC"])]);
    assert_eq!(shares(&grants), [(2, "9".to_owned())]);
    let too_much = Claim { capital: Cash::parse("11").unwrap(), ..invalid };
    let grants = decide(&Grants::default(), Some("10"), &[too_much]);
    assert!(refusal(&grants, 1).contains("exceeds the 10 still free"));
}

#[test]
fn nothing_new_is_granted_while_the_money_is_not_known() {
    let held = decide(&Grants::default(), Some("10"), &[claim(1, "5", &["BTC"])]);
    let grants = decide(&held, None, &[claim(1, "5", &["BTC"]), claim(2, "1", &["ETH"])]);
    assert_eq!(shares(&grants), [(1, "5".to_owned())]);
    assert!(refusal(&grants, 2).contains("is not known yet"));
}

#[test]
fn grants_survive_the_way_through_a_status() {
    let grants = decide(&Grants::default(), Some("10"), &[claim(1, "5.5", &["ETH", "BTC"])]);
    assert_eq!(Grants::from_status(&grants.to_status()), grants);
}
