//! The word somebody probably meant, for messages about unknown keys and names.

/// The candidate nearest to a word, if one is near enough to be a typing mistake.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long words are never near a key, and the distance costs their product.
    if word.is_empty() || word.chars().count() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase().replace('_', "-");
            let allowed = 1.max(lower.chars().count().max(other.chars().count()) / 3);
            let distance = distance(&lower, &other);
            // A word that was cut short (`param`) or drawn out (`ended`) is near the other.
            let begun = (lower.len() >= 3 && other.starts_with(&lower))
                || (other.len() >= 3 && lower.starts_with(&other));
            (distance <= allowed || begun).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c` in backticks, for messages.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".to_string(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_near_and_other_words_are_not() {
        let keys = ["expect", "user", "results", "filler_words", "parameters"];
        let check = |word, expected| assert_eq!(nearest(word, keys), expected, "{word}");
        check("expects", Some("expect"));
        check("exepct", Some("expect"));
        check("filler-words", Some("filler_words"));
        check("param", Some("parameters"));
        check("User", Some("user"));
        check("resultsets", Some("results"));
        check("zebra", None);
        check("", None);
    }

    #[test]
    fn a_list_reads_as_a_sentence() {
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list([]), "none");
    }
}
