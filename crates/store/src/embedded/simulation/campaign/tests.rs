//! What the campaign itself takes for a broken promise: that service resumes late, or not at all.

use super::*;

/// A journal that has failed for so long, as the disk is full and says so when it is synced, that it rests for ten seconds.
fn resting() -> World {
    let mut world = World::new(1);
    assert!(world.open(false).is_ok());
    world.full = true;
    world.ledger.room(false);
    world.disk.set_size(Some(world.disk.used()), true);
    for _ in 0..140 {
        assert!(world.append().is_ok() && world.everybody().is_ok());
        world.clock.advance_ms(100);
    }
    assert!(world.engine.as_ref().is_some_and(Stepped::is_refusing), "the journal can't be written");
    world
}

fn resumes(world: &mut World) -> Result<(), String> {
    match world.service_resumes() {
        Ok(()) => Ok(()),
        Err(End::Broken(what)) => Err(what),
        Err(End::Cut) => Err("the power was not to be cut".to_owned()),
    }
}

#[test]
fn service_resumes_within_the_journals_longest_rest() {
    let mut world = resting();
    world.disk.set_size(None, false);
    assert_eq!(resumes(&mut world), Ok(()));
}

#[test]
fn a_journal_that_rests_for_longer_than_it_may_is_found() {
    let mut world = resting();
    world.disk.set_size(None, false);
    // It goes on by what it was opened with.
    world.options.retry_ms_max = 1_000;
    assert!(resumes(&mut world).is_err_and(|what| what.contains("does not resume")));
}

#[test]
fn a_journal_that_never_goes_on_is_found() {
    assert!(resumes(&mut resting()).is_err_and(|what| what.contains("does not resume")));
}
