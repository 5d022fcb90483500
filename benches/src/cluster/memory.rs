//! Memory of a worker in a cluster with 1, 10 and 50 strategies, each on an instrument of its own, after it has traded
//! for a while at ten bars a second.

use super::{ACCOUNT, POD, name_of, trading};
use crate::process::status_mb;
use crate::{BenchError, Figure};

const SECTION: &str = "worker";
const SIZES: [usize; 3] = [1, 10, 50];
/// Orders of the first strategy before its worker is looked at.
const ENTRIES: usize = 100;

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for strategies in SIZES {
        let rig = trading(strategies, 10).await?;
        let mark = rig.mark(ACCOUNT, &name_of(0)).await;
        rig.outcomes(ACCOUNT, &name_of(0), mark, "Enter", ENTRIES).await;
        let pid = rig
            .kubelet()
            .pods()
            .get(POD)
            .and_then(|pod| pod.process.as_ref().map(tradewind_tests::process::Worker::pid));
        let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
        let look =
            |key| status_mb(&pid, key).ok_or_else(|| BenchError::Process("the worker has ended".to_owned()));
        let (now, peak, own) = (look("VmRSS")?, look("VmHWM")?, look("RssAnon")?);
        figures.push(Figure::new(
            SECTION,
            format!("RSS with {strategies} strategies"),
            format!("{now:.1} MiB, peak {peak:.1} MiB, of its own {own:.1} MiB"),
        ));
    }
    Ok(figures)
}
