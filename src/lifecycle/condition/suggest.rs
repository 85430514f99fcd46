//! Finds the name that was probably meant.

use crate::lifecycle::problem::slips;

/// The candidate nearest to `word`, when it is near enough to be a slip of the keys.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = (word.chars().count() / 3).max(1);
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (slips(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= slips_max && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keys_are_found_and_other_words_are_not() {
        let names = ["orders", "recommended_at", "orders.count", "score"];
        assert_eq!(nearest("ordrs", names), Some("orders"));
        assert_eq!(nearest("oredrs", names), Some("orders"));
        assert_eq!(nearest("recomended_at", names), Some("recommended_at"));
        assert_eq!(nearest("Score", names), Some("score"));
        assert_eq!(nearest("orders.cuont", names), Some("orders.count"));
        assert_eq!(nearest("premium", names), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
