//! Text from outside, made fit for errors and terminals.

use url::Url;

const MAX_CHARS: usize = 400;

/// Returns scheme, host, port and path: no user, query or fragment, where secrets live.
pub(crate) fn redacted(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    escaped(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// Returns scheme, host and port of a URL.
pub(crate) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    escaped(&format!("{}://{host}{port}", url.scheme()))
}

/// Returns the text on one line, control characters escaped, cut at 400 characters.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_CHARS));
    for (at, c) in text.chars().enumerate() {
        if at == MAX_CHARS {
            out.push('…');
            break;
        }
        if c.is_control() || is_direction_mark(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character reorders what a terminal shows around it.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Returns the first line of a message, escaped. Azure puts trace ids and times on the later ones.
pub(crate) fn first_line(text: &str) -> String {
    escaped(text.lines().next().unwrap_or_default().trim_end())
}

/// Returns the title of an HTML page, escaped; empty if there is none.
pub(crate) fn html_title(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(&page[..page.len().min(64 * 1024)]);
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|open| {
        let start = open + lower[open..].find('>')? + 1;
        let end = start + lower[start..].find("</").unwrap_or(lower.len() - start);
        page.get(start..end)
    });
    escaped(title.unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_and_escaped() {
        for (page, expected) in [
            ("<html><head><TITLE lang=en>Sign in\u{1b}[31m</title>", "Sign in\\u{1b}[31m"),
            ("<title>cut of", "cut of"),
            ("<title", ""),
            ("<p>no title", ""),
            ("\u{130}<title>dotted \u{130}</title>", "dotted \u{130}"),
        ] {
            assert_eq!(html_title(page.as_bytes()), expected, "{page}");
        }
    }

    #[test]
    fn only_the_first_line_is_kept() {
        assert_eq!(first_line("AADSTS70011: bad.\r\nTrace ID: 1"), "AADSTS70011: bad.");
        assert_eq!(escaped("a\nb"), "a\\u{a}b");
        assert_eq!(escaped(&"x".repeat(500)).chars().count(), 401);
    }
}
