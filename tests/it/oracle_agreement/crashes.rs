//! A partition with aborts, crashes, restores and sweeps publishes the same as an undisturbed one.

use fastrand::Rng;

use super::engine::Engine;
use super::{LATENESS, LONG, report, seeds};
use crate::oracle::generator::histories;
use crate::oracle::touchpoint::{Millis, Touchpoint};

/// Receives a line and advances time to the stream time minus the lateness.
fn receive(engine: &mut Engine, line: &str, reached: &mut Millis) {
    engine.receive(line);
    *reached = Touchpoint::parse(line).at.max(*reached);
    engine.pass_time(*reached - LATENESS, 3);
}

#[test]
fn aborts_and_crashes_do_not_change_the_publications() {
    const CUSTOMERS: usize = 4;
    for seed in seeds(70_000, 5, CUSTOMERS as u64) {
        let mut rng = Rng::with_seed(seed);
        let lines = histories(seed, CUSTOMERS);
        let mut undisturbed = Engine::new();
        let mut until = Millis::MIN;
        for line in &lines {
            receive(&mut undisturbed, line, &mut until);
        }
        let mut disturbed = Engine::new();
        let mut reached = Millis::MIN;
        let mut done = 0;
        while done < lines.len() {
            let batch = &lines[done..lines.len().min(done + rng.usize(1..8))];
            let reached_before = reached;
            if rng.u8(..4) == 0 {
                disturbed.begin_sweep();
            }
            for line in batch {
                receive(&mut disturbed, line, &mut reached);
            }
            match rng.u8(..4) {
                0 => {
                    disturbed.abort(rng.bool());
                    reached = reached_before;
                }
                1 => {
                    disturbed.crash();
                    reached = reached_before;
                }
                _ => {
                    disturbed.commit();
                    done += batch.len();
                }
            }
        }
        for engine in [&mut undisturbed, &mut disturbed] {
            engine.pass_time(until + LONG, 1_000);
        }
        assert_eq!(disturbed.tally().applied, undisturbed.tally().applied, "seed {seed}");
        let (expected, found) = (undisturbed.publications(), disturbed.publications());
        for (id, publications) in &expected {
            report::assert_same(seed, id, &lines, publications, found.get(id).map_or(&[], Vec::as_slice));
        }
        let ids = |engine: &Engine| engine.transitions().iter().map(|transition| transition.id).collect::<Vec<_>>();
        assert_eq!(ids(&disturbed), ids(&undisturbed), "seed {seed}: transition ids or the order of customers differ");
    }
}
