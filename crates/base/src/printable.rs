//! Text that came from elsewhere, such as file names and strings of files, made safe for the place that shows it.

use std::borrow::Cow;
use std::fmt::Write;

/// For a terminal: characters that would steer it (escape sequences, the direction of writing) as escapes of JSON, line
/// ends and tabs as they are. JSON stays the same JSON.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| steers(c) && !matches!(c, '\n' | '\t'))
}

/// The same for text that must stay on its line.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, steers)
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if !steers(c) {
            shown.push(c);
            continue;
        }
        match c {
            '\n' => shown += "\\n",
            '\t' => shown += "\\t",
            // All of them lie in the basic plane. Writing to a String can not fail.
            c => _ = write!(shown, "\\u{:04x}", c as u32),
        }
    }
    shown.into()
}

/// Control characters, line separators, and marks that turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text for a cell of a CSV file: a spreadsheet takes what starts like a formula for one, unless a quote stands before it.
pub fn spreadsheet(text: &str) -> Cow<'_, str> {
    match text.trim_start_matches([' ', '\u{a0}']).chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{text}").into()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(printable("a\nb\tc é η ₀"), "a\nb\tc é η ₀");
        assert_eq!(
            printable("\u{1b}[2J\u{9b}1m\u{7f}\r"),
            "\\u001b[2J\\u009b1m\\u007f\\u000d"
        );
        assert_eq!(printable("\u{202e}dilav"), "\\u202edilav");
        assert_eq!(printable_line("a\nvalid\t"), "a\\nvalid\\t");
        // In JSON it is the same text.
        let json = serde_json::to_string("\u{9b}1m\u{202e}").unwrap();
        assert_ne!(printable(&json), json);
        assert_eq!(
            serde_json::from_str::<String>(&printable(&json)).unwrap(),
            "\u{9b}1m\u{202e}"
        );
    }

    #[test]
    fn text_is_no_formula() {
        for formula in [
            "=1+1", "+1", "-cmd", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1",
        ] {
            assert_eq!(spreadsheet(formula), format!("'{formula}"));
        }
        for plain in ["a = b", "", "per_head", "1e-3"] {
            assert_eq!(spreadsheet(plain), plain);
        }
    }
}
