//! "Did you mean": finds the known name closest to a misspelled one.

use crate::lifecycle::problem::edit_distance;

/// Returns the candidate with the smallest edit distance to `word`, if it is close enough to be a typing error.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (word.chars().count() / 3).max(1);
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= distance_max && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_corrected_and_other_words_are_not() {
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
