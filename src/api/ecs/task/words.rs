//! A command as one text, cut into words as the SSM agent does in containers: quotation marks and backslashes count, and
//! nothing else of a shell does.

/// The words; `None` where a quotation mark or a backslash is left open.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    // Set inside a word, also an empty one in quotation marks.
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => quoted(&mut characters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut characters, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next()?),
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// Up to the closing mark. Backslashes count between double marks only.
fn quoted(characters: &mut std::str::Chars<'_>, mark: char, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            end if end == mark => return Some(()),
            '\\' if mark == '"' => word.push(characters.next()?),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_backslashes_keep_words_together() {
        let cut = |text: &str| words(text).map(|words| words.join("|"));
        assert_eq!(cut("/bin/sh"), Some("/bin/sh".into()));
        assert_eq!(cut("  sh -c 'echo a  b' "), Some("sh|-c|echo a  b".into()));
        assert_eq!(cut(r#"echo "a \"b\" $c" d\ e ''"#), Some(r#"echo|a "b" $c|d e|"#.into()));
        assert_eq!(cut(""), Some(String::new()));
        assert_eq!(cut("echo 'a"), None);
        assert_eq!(cut("echo \\"), None);
    }
}
