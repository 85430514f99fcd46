//! "Did you mean": finds the known name closest to a misspelled one. The same rule applies to conditions, model files,
//! configuration keys and query parameters.

use strsim::osa_distance;

/// Returns the candidate that is most similar to `word`, the first of several, if it is close enough to be a typing
/// error.
///
/// Case is ignored. Insertions, deletions, substitutions and swaps of neighbouring letters count 1 each; a third of the
/// letters may differ.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (word.chars().count() / 3).max(1);
    let lower_case = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|&candidate| candidate != word)
        .map(|candidate| (osa_distance(&lower_case, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= distance_max && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Returns a question about the name that [`nearest`] finds: ``did you mean `orders`?``.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(question)
}

/// Returns the question about `name`.
#[must_use]
pub fn question(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Returns the same question after a colon, to end a message with it; empty if no candidate is similar.
#[must_use]
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, candidates).map_or(String::new(), |question| format!(": {question}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_corrected_and_other_words_are_not() {
        let names = ["orders", "recommended_at", "orders.count", "score", "clock.lateness", "kafka.bootstrap_servers"];
        let cases = [
            ("ordrs", "orders"),
            ("oredrs", "orders"),
            ("recomended_at", "recommended_at"),
            ("Score", "score"),
            ("orders.cuont", "orders.count"),
            ("clock.latenes", "clock.lateness"),
            ("kafka.bootstrap.servers", "kafka.bootstrap_servers"),
        ];
        for (word, meant) in cases {
            assert_eq!(nearest(word, names), Some(meant));
        }
        for word in ["premium", "weather", "milestones", "score"] {
            assert_eq!(nearest(word, names), None, "{word}");
        }
        assert_eq!(nearest("x", ["y"]), None);
    }

    #[test]
    fn the_first_of_equally_similar_names_is_suggested() {
        assert_eq!(nearest("last_ordr", ["last_order", "last_opened"]), Some("last_order"));
        assert_eq!(nearest("transition", ["transitions", "transition_"]), Some("transitions"));
    }
}
