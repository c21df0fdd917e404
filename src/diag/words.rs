//! Lists of words in messages, and which of them was probably meant.

use std::fmt;

/// Returns the candidate that a word was probably meant to be.
///
/// That is the nearest one by insertions, deletions, replacements and swaps
/// of neighbours, unless it takes more than one of them per three letters.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The longest name has 255 octets, and comparing takes time by the square.
    if word.len() > 255 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the help for a word that is none of the candidates.
pub(crate) fn suggest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    otherwise: &str,
) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => otherwise.to_owned(),
    }
}

/// Returns the help for a word that is none of those declared.
pub(crate) fn suggest_declared<'a>(
    word: &str,
    declared: impl IntoIterator<Item = &'a str> + Clone,
    declare: &str,
) -> String {
    match nearest(word, declared.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let mut declared = declared.into_iter().peekable();
            match declared.peek() {
                Some(_) => format!("{declare}; declared are {}", quoted(declared)),
                None => declare.to_owned(),
            }
        }
    }
}

/// Writes words as "`a`, `b`".
pub(crate) fn quoted(words: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// The optimal string alignment distance.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_word() {
        let words = ["primary", "secondary", "ttl"];
        assert_eq!(nearest("pirmary", words), Some("primary"));
        assert_eq!(nearest("secondry", words), Some("secondary"));
        assert_eq!(nearest("TLL", words), Some("ttl"));
    }

    #[test]
    fn a_far_word_finds_nothing() {
        assert_eq!(nearest("weight", ["primary", "ttl"]), None);
        assert_eq!(nearest("", ["ttl"]), None);
    }

    #[test]
    fn swapped_neighbours_count_once() {
        assert_eq!(distance("abcd", "acbd"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
