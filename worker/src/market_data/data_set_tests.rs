use super::*;

const SOUND: &str = "quoteCurrency: USD
bar: 1h
instruments:
- {symbol: BTC-USD, tick: \"0.01\", lot: \"0.00000001\", minNotional: \"1\"}
- {symbol: ADA-USD, tick: \"0.0001\", lot: \"0.1\", minNotional: \"5\"}
";

fn folder_with(name: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(name)).unwrap();
    std::fs::write(dir.path().join(name).join(INSTRUMENTS_FILE), text).unwrap();
    dir
}

fn open(text: &str) -> Result<DataSet, String> {
    let dir = folder_with("set", text);
    DataSet::open(&dir.path().join("set")).map_err(|e| e.to_string())
}

#[test]
fn instruments_are_read_with_their_rules() {
    let set = open(SOUND).unwrap();
    assert_eq!((set.quote_currency().as_str(), set.bar(), set.bar_text()), ("USD", Millis(3_600_000), "1h"));
    let ada = set.rules(&"ADA-USD".parse().unwrap()).unwrap();
    assert_eq!((ada.price_scale, ada.quantity_scale, ada.tick.0, ada.lot.0), (4, 1, 1, 1));
    assert_eq!(ada.min_notional.to_string(), "5");
}

#[test]
fn faults_in_the_instruments_are_told_with_the_file_and_a_fix() {
    for (from, to, says) in [
        ("bar: 1h", "bar: 7m", "bar \"7m\" must divide a day evenly"),
        ("lot: \"0.1\"", "lot: \"0\"", "ADA-USD: lot must be greater than zero"),
        ("tick: \"0.01\"", "tick: \"a\"", "BTC-USD: tick: \"a\" is not a decimal number"),
        ("ADA-USD", "ADA-EUR", "ADA-EUR is not quoted in USD"),
        ("ADA-USD", "BTC-USD", "BTC-USD is listed twice"),
        ("ADA-USD", "ada", "must be BASE-QUOTE in capitals"),
        ("lot: \"0.1\"", "lots: \"0.1\"", "lots"),
        ("quoteCurrency: USD\n", "", "quoteCurrency"),
    ] {
        let error = open(&SOUND.replace(from, to)).unwrap_err();
        assert!(error.contains(says) && error.contains(INSTRUMENTS_FILE), "{to}: {error}");
    }
    assert!(
        open("quoteCurrency: USD\nbar: 1h\ninstruments: []\n").unwrap_err().contains("lists no instruments")
    );
    assert!(open(&"#".repeat(2_000_000)).unwrap_err().contains("is larger than 1048576 bytes"));
}

#[test]
fn a_set_is_found_by_name_in_the_first_folder_that_has_it() {
    let first = folder_with("other-1d", SOUND);
    let second = folder_with("coinbase-1h", SOUND);
    let dirs = [first.path().to_owned(), second.path().to_owned()];
    let set = DataSet::find("coinbase-1h", &dirs).unwrap();
    assert_eq!(set.dir(), second.path().join("coinbase-1h"));
}

#[test]
fn an_unknown_set_is_answered_with_the_nearest_and_all_names() {
    let dir = folder_with("coinbase-1h", SOUND);
    std::fs::create_dir_all(dir.path().join("binance-5m")).unwrap();
    std::fs::write(dir.path().join("binance-5m").join(INSTRUMENTS_FILE), SOUND).unwrap();
    std::fs::create_dir(dir.path().join("no-set")).unwrap();
    let error = DataSet::find("coinbse-1h", &[dir.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("did you mean coinbase-1h? There are: binance-5m, coinbase-1h"), "{error}");
    let error = DataSet::find("zzz", &[dir.path().to_owned()]).unwrap_err().to_string();
    assert!(error.ends_with("; there are: binance-5m, coinbase-1h"), "{error}");
    let error = DataSet::find("zzz", &[dir.path().join("nowhere")]).unwrap_err().to_string();
    assert!(error.contains("there is none; a data set is a folder with instruments.yaml"), "{error}");
}

#[test]
fn a_name_never_leads_out_of_the_search_folders() {
    let dir = folder_with("coinbase-1h", SOUND);
    let inner = dir.path().join("coinbase-1h");
    for name in ["../coinbase-1h", "", "/etc", ".", "a/../../b"] {
        let error = DataSet::find(name, std::slice::from_ref(&inner)).unwrap_err();
        assert!(matches!(error, MarketDataError::BadName { .. }), "{name}: {error}");
    }
}

#[test]
fn a_symbol_the_set_lacks_is_answered_with_the_nearest() {
    let set = open(SOUND).unwrap();
    let error = set.rules(&"BTC-USDT".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("has no BTC-USDT; did you mean BTC-USD? There are: ADA-USD, BTC-USD"), "{error}");
}

#[test]
fn candles_are_taken_packed_or_plain_and_their_absence_is_told() {
    let dir = folder_with("set", SOUND);
    let set = DataSet::open(&dir.path().join("set")).unwrap();
    let symbol: Symbol = "BTC-USD".parse().unwrap();
    let error = set.reader(&symbol).unwrap_err().to_string();
    assert!(error.contains("BTC-USD is listed") && error.contains("BTC-USD_1h.csv.gz"), "{error}");
    let plain = dir.path().join("set/BTC-USD_1h.csv");
    std::fs::write(&plain, "ts,open,high,low,close,volume\n1713484800000,1,1,1,1,1\n").unwrap();
    assert_eq!(set.file(&symbol).unwrap(), plain);
    assert_eq!(set.reader(&symbol).unwrap().filter_map(Result::ok).count(), 1);
    let packed = dir.path().join("set/BTC-USD_1h.csv.gz");
    std::fs::write(&packed, "").unwrap();
    assert_eq!(set.file(&symbol).unwrap(), packed);
}
