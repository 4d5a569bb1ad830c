//! Whether a file states what a certificate states, about the same numbers.

use super::text::starts_as_ours;
use std::iter::once;

/// The lines of a file's proof that Rocq checks whatever they say, by the name in their comment.
const FREE: [&str; 13] = [
    "rho", "h(rho)", "alpha_c", "Lambda", "R", "xi", "kap", "ups", "b", "F", "low", "high", "dist",
];

/// The numbers of the instance, by the name in their line's comment.
const GIVEN: [&str; 6] = ["X", "y", "W^Q", "W^K", "W^V", "W^O"];

/// Holds `text` line by line against what gdcert writes for the certificate, `expected`: all of it but the comment at its head
/// and the [`FREE`] numbers, which differ from machine to machine. An error says where they differ.
pub(super) fn same_statement(text: &str, expected: &str) -> Result<(), String> {
    let (Some(found), Some(expected)) = (body(text), body(expected)) else {
        return Err("it does not begin as gdcert's files do".into());
    };
    let head = text.lines().count() - found.lines().count();
    let mut name = None;
    let lines = found.lines().map(Some).chain(once(None));
    for (k, (line, wanted)) in lines
        .zip(expected.lines().map(Some).chain(once(None)))
        .enumerate()
    {
        let at = |what: &str| format!("line {}: {what}", head + k + 1);
        let (Some(line), Some(wanted)) = (line, wanted) else {
            return match (line, wanted) {
                (None, None) => Ok(()),
                (None, _) => Err(at("it ends too early")),
                _ => Err(at("there is more than gdcert writes")),
            };
        };
        // A matrix may run over several lines.
        let given = label(wanted).filter(|name| GIVEN.contains(name));
        name = given.or(name.filter(|_| wanted.starts_with("    [")));
        let both_free = free(line).is_some() && free(line) == free(wanted);
        if line == wanted || both_free || bits(line).is_some() && bits(line) == bits(wanted) {
            continue;
        }
        return Err(at(&match (name, label(wanted)) {
            (Some(name), _) => format!("its {name} is another"),
            (None, Some(name)) if label(line) == Some(name) => format!("its {name} is another"),
            _ => format!("gdcert writes '{}' there", wanted.trim()),
        }));
    }
    Ok(())
}

/// What follows the comment at the head.
fn body(text: &str) -> Option<&str> {
    let (head, body) = text.split_once("*)\n")?;
    let plain = !head[2..].contains("(*") && !head.contains('"');
    (starts_as_ours(text) && plain).then_some(body)
}

/// The name in a line's comment: `(* NAME *)` or `(* NAME = ... *)`.
fn label(line: &str) -> Option<&str> {
    let (_, comment) = line.split_once("(* ")?;
    comment.split([' ', '=']).next()
}

/// The name of a line that holds a free number, or numbers, and nothing else.
fn free(line: &str) -> Option<&'static str> {
    let name = FREE.into_iter().find(|name| Some(*name) == label(line))?;
    let (before, comment) = line.split_once("(* ")?;
    let (comment, after) = comment.split_once("*)")?;
    let only = |text: &str, allowed: &str| {
        text.chars()
            .all(|c| c.is_ascii_digit() || allowed.contains(c))
    };
    let said = comment.strip_prefix(name)?;
    let numbers =
        only(before, "(),;[]- ") && only(after.strip_suffix("%Z.").unwrap_or(after), "(),;[]- ");
    (numbers && only(said, "=e.+- ")).then_some(name)
}

/// What stands around the numbers in a line that names bits of interval arithmetic.
fn bits(line: &str) -> Option<Vec<&str>> {
    let mut parts = line.split("(F.PtoP ");
    let mut around = vec![parts.next()?];
    for part in parts {
        let (digits, after) = part.split_once(')')?;
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
        around.push(after);
    }
    (around.len() > 1).then_some(around)
}
