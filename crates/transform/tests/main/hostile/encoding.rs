//! Bytes that are no UTF-8, text that does not look like itself, and files that are no CSV.

use super::{Case, SHORT, around, file, meter, meter_bytes, read, refused, replaced};

pub(super) fn cases() -> Vec<Case> {
    [other_encodings(), bad_bytes(), odd_characters(), other_files()]
        .into_iter()
        .flatten()
        .collect()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn other_encodings() -> Vec<Case> {
    let text = "Date,Cost,Currency\r\n07/01/2025,1,EUR\r\n";
    let marked = format!("\u{feff}{text}");
    let utf32: Vec<u8> = marked.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    vec![
        refused("UTF-16 LE", utf16(&marked, u16::to_le_bytes), "UTF-16"),
        refused("UTF-16 BE", utf16(&marked, u16::to_be_bytes), "UTF-16"),
        refused("UTF-16 LE without a mark", utf16(text, u16::to_le_bytes), "UTF-16"),
        refused("UTF-16 BE without a mark", utf16(text, u16::to_be_bytes), "UTF-16"),
        refused(
            "UTF-16 LE without a mark, names in no-break spaces",
            utf16("\u{a0}Date,Cost,Currency\r\n", u16::to_le_bytes),
            "UTF-16",
        ),
        refused(
            "UTF-16 BE without a mark, localised",
            utf16("W\u{e4}hrung (Currency),Date,Cost\r\n", u16::to_be_bytes),
            "UTF-16",
        ),
        refused("a UTF-16 mark alone", *b"\xff\xfe", "UTF-16"),
        refused("UTF-32 LE", utf32, "expected UTF-8"),
    ]
}

fn bad_bytes() -> Vec<Case> {
    let faulty =
        |name, bytes: &[u8]| read(name, meter_bytes(bytes), 2, "5").quarantined(&[(2, "encoding")]);
    let row = |bytes: &[u8]| replaced(&around(SHORT, "@"), b"@", bytes);
    let tags = replaced(
        &around("Date,Cost,Currency,Tags", "07/02/2025,2,EUR,@"),
        b"@",
        b"{\"a\":\"\xff\"}",
    );
    let unknown =
        |bytes| replaced(&around("Date,Cost,Currency,Owner", "07/02/2025,2,EUR,@"), b"@", bytes);
    let boolean = around("Date,Cost,Currency,IsAzureCreditEligible", "07/02/2025,2,EUR,@");
    let period = around("Date,Cost,Currency,BillingPeriodStartDate", "07/02/2025,2,EUR,@");
    let mut many = file(super::METER, &[]);
    for _ in 0..200 {
        many.extend(b"07/01/2025,1,EUR,\xff\n07/01/2025,1,EUR,a\n");
    }
    let expected: Vec<(i64, &str)> = (0..200).map(|at| (2 * at + 1, "encoding")).collect();
    vec![
        faulty("a byte that no UTF-8 has", b"\xff"),
        faulty("Latin-1", b"M\xfcnchen"),
        faulty("Windows quotes", b"\x93a\x94"),
        faulty("an overlong slash", b"\xc0\xaf"),
        faulty("an overlong NUL", b"\xc0\x80"),
        faulty("a lone surrogate", b"\xed\xa0\x80"),
        faulty("a surrogate pair in UTF-8", b"\xed\xa0\xbd\xed\xb2\xb6"),
        faulty("a character behind the last one", b"\xf4\x90\x80\x80"),
        faulty("a character cut short", b"a\xe2\x82"),
        faulty("a continuation alone", b"\x80a"),
        faulty("a bad byte in quotes", b"\"a,\xff\""),
        faulty("a bad byte behind a doubled quote", b"\"\"\"\xff\""),
        read("a bad byte in each other row", many, 200, "200").quarantined(&expected),
        read("a bad byte in the currency", row(b"07/02/2025,2,EU\xff"), 2, "5")
            .quarantined(&[(2, "encoding")]),
        read("a bad byte in the cost", row(b"07/02/2025,2\xff,EUR"), 2, "5")
            .quarantined(&[(2, "number-form")]),
        read("a bad byte in the date", row(b"07/02/2025\xff,2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("a bad byte in a malformed row", row(b"\xff,\xff"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("a bad byte in a boolean", replaced(&boolean, b"@", b"\xff"), 2, "5")
            .quarantined(&[(2, "boolean")]),
        read("a bad byte in another date", replaced(&period, b"@", b"\xff"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("a bad byte in an unknown column", unknown(b"\xff"), 2, "5")
            .quarantined(&[(2, "encoding")])
            .column("extra", &["null", "null"]),
        read("a bad byte in an unknown column, quoted", unknown(b"\"a,\xff\""), 2, "5")
            .quarantined(&[(2, "encoding")]),
        read(
            "a bad byte in a nameless column",
            replaced(&around("Date,Cost,Currency,", "07/02/2025,2,EUR,@"), b"@", b"\xff"),
            2,
            "5",
        )
        .quarantined(&[(2, "encoding")]),
        read("a bad byte in tags", tags, 2, "5").quarantined(&[(2, "encoding")]),
        refused(
            "a bad byte in a header",
            *b"Date,Cost,Currency,M\xfcnze\n07/01/2025,1,EUR,a\n",
            "expected UTF-8, found other bytes in header 4",
        ),
        read(
            "a character cut by the end",
            [&file(super::METER, &[])[..], b"07/01/2025,1,EUR,\xe2\x82"].concat(),
            0,
            "0",
        )
        .quarantined(&[(1, "encoding")]),
    ]
}

fn odd_characters() -> Vec<Case> {
    let kept = |name, text: &str| {
        read(name, meter(text), 3, "7").column("meter_name", &["null", text, "null"])
    };
    vec![
        kept("NUL", "a\0b"),
        kept("NUL alone", "\0"),
        kept("ESC", "\u{1b}[31mred\u{1b}[0m\u{7}"),
        kept("right-to-left override", "a\u{202e}gpj.exe"),
        kept("line separator", "a\u{2028}b"),
        kept("vertical tab and form feed", "\u{b}a\u{c}"),
        kept("tab", "\ta\t"),
        kept("DEL and C1 controls", "\u{7f}\u{9b}31m"),
        kept("blanks around text", "  a  "),
        kept("no-break space", "\u{a0}a\u{a0}"),
        kept("zero-width characters", "a\u{200b}\u{200d}\u{2060}b"),
        kept("characters beyond 16 bits", "\u{1f4b6}\u{10ffff}"),
        kept("non-characters", "\u{ffff}\u{fdd0}"),
        kept("replacement character", "\u{fffd}"),
        kept("backslash and percent", "%0a\\x00\\u0000"),
        read(
            "composed and decomposed letters stay apart",
            file(super::METER, &["07/01/2025,1,EUR,\u{e9}", "07/01/2025,2,EUR,e\u{301}"]),
            2,
            "3",
        )
        .column("meter_name", &["\u{e9}", "e\u{301}"]),
        read(
            "ESC in a number is shown inert",
            around(SHORT, "07/02/2025,\u{1b}[2J\u{202e}2,EUR"),
            2,
            "5",
        )
        .quarantined(&[(2, "number-form")]),
        read("NUL in a number", around(SHORT, "07/02/2025,2\0,EUR"), 2, "5")
            .quarantined(&[(2, "number-form")]),
    ]
}

fn other_files() -> Vec<Case> {
    vec![
        refused("no bytes", "", "the file is empty"),
        refused("a mark alone", "\u{feff}", "the file is empty"),
        refused("a mark and a line end", "\u{feff}\r\n", "the file is empty"),
        refused("line ends alone", "\r\n\r\n\n", "the file is empty"),
        refused("blanks alone", "  \t \n", ""),
        refused("one letter", "D", "no header of a cost file"),
        refused("HTML", "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n", "an HTML page"),
        refused(
            "HTML behind empty lines",
            "\r\n\r\n  <html><body>a,b,c</body></html>",
            "an HTML page",
        ),
        refused("HTML without a line end", "<html>", "an HTML page"),
        refused(
            "XML",
            "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>",
            "an XML page",
        ),
        refused("XML in another case", "<?XML version=\"1.0\"?>\n<Error/>", "an XML page"),
        refused(
            "XML behind a byte-order mark",
            "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>",
            "an XML page that starts with `<?xml version=",
        ),
        refused(
            "XML behind a byte-order mark and empty lines",
            "\u{feff}\r\n<?xml version=\"1.0\"?>\n<Error/>\n",
            "an XML page that starts with `<?xml version=",
        ),
        refused(
            "XML behind empty lines",
            "\n\n<?xml version=\"1.0\"?>\n<Error/>\n",
            "an XML page that starts with `<?xml version=",
        ),
        refused(
            "XML behind 10,000 empty lines",
            format!("{}<?xml version=\"1.0\"?>\n<Error/>\n", "\n".repeat(10_000)),
            "an XML page that starts with `<?xml version=",
        ),
        refused("HTML behind a byte-order mark", "\u{feff}<!DOCTYPE html>", "an HTML page"),
        refused(
            "a JSON error",
            "{\"error\":{\"code\":\"429\",\"message\":\"Too many, wait\"}}",
            "no header of a cost file",
        ),
        refused(
            "a JSON error of several lines",
            "{\r\n  \"error\": {\r\n  }\r\n}",
            "no header of a cost file",
        ),
        refused("an error in a word", "Forbidden", "no header of a cost file"),
        refused(
            "ESC is shown inert",
            "\u{1b}]0;owned\u{7},\u{202e},b\n",
            "no header of a cost file",
        ),
        refused("gzip", *b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "gzip"),
        refused("zip", *b"PK\x03\x04\x14\x00", "zip"),
        refused("Parquet", *b"PAR1\x15\x04", "Parquet"),
        refused("zeros", vec![0; 1000], "expected UTF-8, found zero bytes"),
    ]
}
