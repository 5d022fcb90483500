//! Market data on which a strategy trades at every bar, so that silence means something.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::binary::root;

/// Name of the data set whose closes go up and down by turns.
pub const ZIGZAG: &str = "zigzag";
/// Its instruments.
pub const SYMBOLS: [&str; 50] = [
    "AAA-USD", "BBB-USD", "CCC-USD", "DDD-USD", "EEE-USD", "FFF-USD", "GGG-USD", "HHH-USD", "III-USD",
    "JJJ-USD", "KKK-USD", "LLL-USD", "MMM-USD", "NNN-USD", "OOO-USD", "PPP-USD", "QQQ-USD", "RRR-USD",
    "SSS-USD", "TTT-USD", "UUU-USD", "VVV-USD", "WWW-USD", "XXX-USD", "YYY-USD", "ZZZ-USD", "AAZ-USD",
    "BBZ-USD", "CCZ-USD", "DDZ-USD", "EEZ-USD", "FFZ-USD", "GGZ-USD", "HHZ-USD", "IIZ-USD", "JJZ-USD",
    "KKZ-USD", "LLZ-USD", "MMZ-USD", "NNZ-USD", "OOZ-USD", "PPZ-USD", "QQZ-USD", "RRZ-USD", "SSZ-USD",
    "TTZ-USD", "UUZ-USD", "VVZ-USD", "WWZ-USD", "XXZ-USD",
];
/// Bars of a minute each; at ten a second they last for more than an hour.
const BARS: i64 = 40_000;
const FIRST: i64 = 1_700_000_040_000;

/// The folder that workers find their data sets in: the packaged ones and [`ZIGZAG`].
pub(super) fn data_sets(dir: &Path) -> PathBuf {
    dir.join("data-sets")
}

/// Writes the data sets into the rig's folder.
pub(super) fn install(dir: &Path) {
    let sets = data_sets(dir);
    let zigzag = sets.join(ZIGZAG);
    fs::create_dir_all(&zigzag).expect("the rig's folder");
    for set in ["coinbase-1h", "binance-2024h1-1h"] {
        std::os::unix::fs::symlink(root().join("examples/data").join(set), sets.join(set)).expect("a link");
    }
    let mut rules = String::from("quoteCurrency: USD\nbar: 1m\ninstruments:\n");
    for symbol in SYMBOLS {
        writeln!(rules, "- {{symbol: {symbol}, tick: \"0.01\", lot: \"0.0001\", minNotional: \"1\"}}")
            .expect("text");
    }
    fs::write(zigzag.join("instruments.yaml"), rules).expect("the rig's folder");
    let mut text = String::from("ts,open,high,low,close,volume\n");
    for bar in 0..BARS {
        let ts = FIRST + bar * 60_000;
        let (open, close) = if bar % 2 == 0 { ("100.00", "101.00") } else { ("101.00", "100.00") };
        writeln!(text, "{ts},{open},101.00,100.00,{close},1000").expect("text");
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    for symbol in SYMBOLS {
        fs::write(zigzag.join(format!("{symbol}_1m.csv.gz")), &packed).expect("the rig's folder");
    }
}
