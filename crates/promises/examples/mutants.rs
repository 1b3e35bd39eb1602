//! Lists the mutants of histories, and the rule that refuses each: `cargo run -p chaski-promises --example mutants`.

#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
fn main() {
    let mut survived = 0;
    for mutant in chaski_promises::mutants::all() {
        let outcomes: Vec<_> = (0..6_000).filter_map(|seed| mutant.refused(seed)).take(50).collect();
        let refused = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let by = outcomes.iter().find_map(|outcome| outcome.as_ref().ok());
        let by = by.map_or_else(|| "NOTHING".to_owned(), |rule| format!("{rule}"));
        println!("{:52} refused by {by:28} {refused} of {}", mutant.name, outcomes.len());
        survived += outcomes.len() - refused + usize::from(outcomes.is_empty());
    }
    assert_eq!(survived, 0, "mutants have survived");
}
