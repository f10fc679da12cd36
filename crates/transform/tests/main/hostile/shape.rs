//! Quotes, fields, line ends, and files that were glued or cut.

use super::{Case, METER, SHORT, around, file, meter, read, refused};

pub(super) fn cases() -> Vec<Case> {
    [quotes(), quoted_line_ends(), fields(), line_ends(), delimiters(), glued()]
        .into_iter()
        .flatten()
        .collect()
}

fn quotes() -> Vec<Case> {
    let last_row = |row: &str| [file(METER, &["07/01/2025,1,EUR,a"]), row.into()].concat();
    vec![
        refused("unclosed quote in mid file", meter("\"b"), "record 2 at byte 49 is not closed"),
        refused(
            "unclosed quote in the last field",
            last_row("07/02/2025,2,EUR,\"b\r\n"),
            "record 2 at byte 50 is not closed",
        ),
        refused(
            "unclosed quote without a line end",
            last_row("07/02/2025,2,EUR,\"b"),
            "record 2 at byte 50 is not closed",
        ),
        refused(
            "a quote is the last byte",
            last_row("07/02/2025,2,EUR,\""),
            "record 2 at byte 50 is not closed",
        ),
        refused(
            "a doubled quote is not a closing one",
            last_row("07/02/2025,2,EUR,\"b\"\""),
            "record 2 at byte 50 is not closed",
        ),
        refused(
            "unclosed quote in the first field",
            last_row("\"07/02/2025,2,EUR,b\r\n"),
            "is not closed",
        ),
        read(
            "an unclosed quote meets the next opening one",
            file(METER, &["07/01/2025,1,EUR,", "07/02/2025,2,EUR,\"b", "07/03/2025,4,EUR,\"c\""]),
            1,
            "1",
        )
        .quarantined(&[(2, "quote-form")]),
        read("text after a closing quote", meter("\"a\"b"), 2, "5")
            .quarantined(&[(2, "quote-form")]),
        read(
            "text after a closing quote in the first field",
            around(SHORT, "\"07/02/2025\"x,2,EUR"),
            2,
            "5",
        )
        .quarantined(&[(2, "quote-form")]),
        read("blank after a closing quote", meter("\"a\" "), 2, "5")
            .quarantined(&[(2, "quote-form")]),
        read("text after a closing quote at the end", last_row("07/02/2025,2,EUR,\"a\"b"), 1, "1")
            .quarantined(&[(2, "quote-form")]),
        read("text after a closing quote, then a sound quoted field", meter("\"a\"b\"c\""), 2, "5")
            .quarantined(&[(2, "quote-form")]),
        read("backslash-quote", meter(r#""a\"b""#), 2, "5").quarantined(&[(2, "quote-form")]),
        read("backslash-quote before a comma", meter(r#""a\",b""#), 2, "5")
            .quarantined(&[(2, "field-count")]),
        refused("backslash-quote at the end of a field", meter(r#""a\"""#), "is not closed"),
        read("backslash is only a character", meter(r#""a\\b\n""#), 3, "7")
            .column("meter_name", &["null", r"a\\b\n", "null"]),
        read("quote inside a bare field", meter("a\"b"), 3, "7")
            .column("meter_name", &["null", "a\"b", "null"]),
        read("quote at the end of a bare field", meter("24\""), 3, "7")
            .column("meter_name", &["null", "24\"", "null"]),
        read("two quotes in a bare field stay two", meter("a\"\"b"), 3, "7")
            .column("meter_name", &["null", "a\"\"b", "null"]),
        read("JSON in a bare field", meter(r#"{"env":"prod"}"#), 3, "7")
            .column("meter_name", &["null", r#"{"env":"prod"}"#, "null"]),
        read("JSON with a comma in a bare field", meter(r#"{"a":"b","c":"d"}"#), 2, "5")
            .quarantined(&[(2, "quote-form")]),
        read("doubled quotes", meter("\"a \"\"b\"\" c\""), 3, "7")
            .column("meter_name", &["null", "a \"b\" c", "null"]),
        read("nothing but a doubled quote", meter("\"\"\"\""), 3, "7")
            .column("meter_name", &["null", "\"", "null"]),
        read("doubled quotes at both ends", meter("\"\"\"a\"\"\""), 3, "7")
            .column("meter_name", &["null", "\"a\"", "null"]),
        read("quoted empty text is none, as empty text is", meter("\"\""), 3, "7")
            .column("meter_name", &["null", "null", "null"]),
        read("quoted blank text is text", meter("\" \""), 3, "7")
            .column("meter_name", &["null", " ", "null"]),
        read(
            "every field quoted",
            around("\"Date\",\"Cost\",\"Currency\"", "\"07/02/2025\",\"2\",\"EUR\""),
            3,
            "7",
        ),
        read("quoted empty money", around(SHORT, "07/02/2025,\"\",EUR"), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("blank before a quote makes a bare field", meter(" \"b\""), 3, "7")
            .column("meter_name", &["null", " \"b\"", "null"]),
        read("blank before a quote protects no comma", meter(" \"b,c\""), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("blank before a quoted number", around(SHORT, "07/02/2025, \"2\",EUR"), 2, "5")
            .quarantined(&[(2, "number-form")]),
        read("single quotes do not quote", meter("'b,c'"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("typographic quotes do not quote", meter("\u{201c}b\u{201d}"), 3, "7")
            .column("meter_name", &["null", "\u{201c}b\u{201d}", "null"]),
    ]
}

/// A row for each padding, so that the content meets every place of a block and of a chunk.
fn padded(content: &str) -> (Vec<u8>, Vec<String>) {
    let pads: Vec<String> = (0..70).map(|length| "p".repeat(length)).collect();
    let rows: Vec<String> =
        pads.iter().map(|pad| format!("07/01/2025,1,EUR,\"{pad}{content}\"")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let text = content.replace("\"\"", "\"");
    (file(METER, &rows), pads.iter().map(|pad| format!("{pad}{text}")).collect())
}

fn quoted_line_ends() -> Vec<Case> {
    let at_edges = |name, content| {
        let (bytes, cells) = padded(content);
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        read(name, bytes, 70, "70").column("meter_name", &cells)
    };
    let kept = |name, text: &str| {
        read(name, meter(&format!("\"{text}\"")), 3, "7")
            .column("meter_name", &["null", text, "null"])
            .blank_lines(0)
    };
    vec![
        kept("comma in quotes", "a,b,,c"),
        kept("LF in quotes", "a\nb"),
        kept("CRLF in quotes", "a\r\nb"),
        kept("CR in quotes", "a\rb"),
        kept("LF CR in quotes", "a\n\rb"),
        kept("empty lines in quotes", "a\n\n\r\n\nb"),
        kept("line end at the start of quotes", "\na"),
        kept("line end at the end of quotes", "a\r\n"),
        kept("a whole row in quotes", "x\r\n07/02/2025,9,EUR,y\r\nz"),
        kept("the header in quotes", "x\r\nDate,Cost,Currency,MeterName\r\nz"),
        at_edges("LF in quotes at every edge", "a\nb"),
        at_edges("CRLF in quotes at every edge", "a\r\nb"),
        at_edges("CR in quotes at every edge", "a\rb"),
        at_edges("doubled quotes at every edge", "a\"\"b"),
        at_edges("two doubled quotes at every edge", "\"\"\"\""),
        at_edges("commas in quotes at every edge", ",,"),
        at_edges("doubled quotes around CRLF at every edge", "\"\"\r\n\"\",\"\""),
        at_edges("several bytes per character at every edge", "\u{e9}\u{20ac}\u{1f4b6}"),
    ]
}

fn fields() -> Vec<Case> {
    let meter_row = |row| around(METER, row);
    vec![
        read("short row", meter_row("07/02/2025,2,EUR"), 2, "5").quarantined(&[(2, "field-count")]),
        read("long row", meter_row("07/02/2025,2,EUR,b,c"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("extra empty field", meter_row("07/02/2025,2,EUR,b,"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("row of one field", meter_row("x"), 2, "5").quarantined(&[(2, "field-count")]),
        read("row of commas", meter_row(",,,"), 2, "5").quarantined(&[(2, "missing")]),
        read("row of too few commas", meter_row(",,"), 2, "5").quarantined(&[(2, "field-count")]),
        read("row of too many commas", meter_row(",,,,,,,"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("row of quoted empty cells", meter_row("\"\",\"\",\"\",\"\""), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("row of blank cells", meter_row(" , , , "), 2, "5").quarantined(&[(2, "missing")]),
        read("line of blanks", meter_row("   "), 2, "5")
            .quarantined(&[(2, "field-count")])
            .blank_lines(0),
        read("line of quotes", meter_row("\"\""), 2, "5").quarantined(&[(2, "field-count")]),
        read(
            "trailing comma in all rows but the header",
            file(SHORT, &["07/01/2025,1,EUR,", "07/02/2025,2,EUR,"]),
            0,
            "0",
        )
        .quarantined(&[(1, "field-count"), (2, "field-count")]),
        read(
            "trailing comma in all rows and the header",
            file("Date,Cost,Currency,", &["07/01/2025,1,EUR,", "07/02/2025,2,EUR,"]),
            2,
            "3",
        )
        .column("extra", &["null", "null"]),
        read("all rows are malformed", file(SHORT, &["a", "b,c", "d,e,f,g"]), 0, "0")
            .quarantined(&[(1, "field-count"), (2, "field-count"), (3, "field-count")]),
        read(
            "faults of several kinds stay in source order",
            file(SHORT, &["x,1,EUR", "y", "07/01/2025,z,EUR", "\"a\"b,,", "07/01/2025,2,EUR"]),
            1,
            "2",
        )
        .quarantined(&[
            (1, "date"),
            (2, "field-count"),
            (3, "number-form"),
            (4, "quote-form"),
        ]),
        read(
            "of several faults of a row the leftmost counts",
            file("Cost,Date,Currency", &["x,y,EUR", "1,y,", "1,07/01/2025,", "z,07/01/2025,"]),
            0,
            "0",
        )
        .quarantined(&[
            (1, "number-form"),
            (2, "date"),
            (3, "missing"),
            (4, "number-form"),
        ]),
        read(
            "of several faults of a row the leftmost counts, in another order of columns",
            file("Currency,Date,Cost", &["EUR,y,x", ",y,1", ",07/01/2025,z"]),
            0,
            "0",
        )
        .quarantined(&[(1, "date"), (2, "missing"), (3, "missing")]),
        read("identical rows are all kept", file(SHORT, &["07/01/2025,0.1,EUR"; 10]), 10, "1"),
    ]
}

fn line_ends() -> Vec<Case> {
    let joined = |end: &str| {
        let rows = ["07/01/2025,1,EUR", "07/02/2025,2,EUR"];
        format!("{SHORT}\n{}{end}", rows.join(end))
    };
    vec![
        read("LF", joined("\n"), 2, "3"),
        read("CRLF under an LF header", joined("\r\n"), 2, "3"),
        read(
            "LF and CRLF in one file",
            "Date,Cost,Currency\r\n07/01/2025,1,EUR\n07/02/2025,2,EUR\r\n07/03/2025,4,EUR\n",
            3,
            "7",
        ),
        read("no line end at the end", "Date,Cost,Currency\n07/01/2025,1,EUR", 1, "1"),
        read(
            "no line end behind an empty last field",
            "Date,Cost,Currency,Tags\n07/01/2025,1,EUR,",
            1,
            "1",
        ),
        read(
            "no line end behind a quoted field",
            "Date,Cost,Currency\n07/01/2025,1,\"EUR\"",
            1,
            "1",
        ),
        refused("CR only", joined("\r").replace('\n', "\r"), "no header of a cost file"),
        read("CR between rows under an LF header", joined("\r"), 0, "0")
            .quarantined(&[(1, "line-end")]),
        read("LF CR", joined("\n\r"), 1, "1").quarantined(&[(2, "line-end"), (3, "line-end")]),
        read("CR CR LF", joined("\r\r\n"), 0, "0").quarantined(&[(1, "line-end"), (2, "line-end")]),
        refused(
            "CR CR LF behind the header",
            "Date,Cost,Currency\r\r\n07/01/2025,1,EUR\r\r\n",
            "no header of a cost file",
        ),
        read("CR inside a bare field", meter("a\rb"), 2, "5").quarantined(&[(2, "line-end")]),
        read("CR at the end of a bare field", around(METER, "07/02/2025,2,EUR\r,a"), 2, "5")
            .quarantined(&[(2, "line-end")]),
        read("CR behind a closing quote", meter("\"a\"\rb"), 2, "5")
            .quarantined(&[(2, "line-end")]),
        read(
            "the file ends between CR and LF",
            "Date,Cost,Currency\n07/01/2025,1,EUR\n07/02/2025,2,EUR\r",
            1,
            "1",
        )
        .quarantined(&[(2, "line-end")]),
        read("header and a lone CR", "Date,Cost,Currency\n\r", 0, "0")
            .quarantined(&[(1, "line-end")]),
        read("a line of CR CR LF", around(SHORT, "\r"), 2, "5").quarantined(&[(2, "line-end")]),
        read(
            "empty lines of LF",
            format!("{SHORT}\n\n07/01/2025,1,EUR\n\n\n07/02/2025,2,EUR\n\n"),
            2,
            "3",
        )
        .column("record", &["1", "2"])
        .blank_lines(4),
        read(
            "empty lines of CRLF",
            file(SHORT, &["", "07/01/2025,1,EUR", "", "", "07/02/2025,2,EUR", ""]),
            2,
            "3",
        )
        .column("record", &["1", "2"])
        .blank_lines(4),
        read("empty lines alone", format!("{SHORT}\r\n{}", "\r\n\n".repeat(100)), 0, "0")
            .blank_lines(200),
        read(
            "records behind empty lines that fill chunks",
            format!("{SHORT}\n{}07/01/2025,1,EUR\nx\n", "\n".repeat(1000)),
            1,
            "1",
        )
        .quarantined(&[(2, "field-count")])
        .blank_lines(1000),
        read("empty lines before the header", format!("\r\n\n{}", joined("\n")), 2, "3")
            .blank_lines(2),
        read(
            "empty lines before, behind and below the header",
            format!("\n\nUsage, July\n\r\n{}\n\n", joined("\n\n").replacen('\n', "\n\n", 1)),
            2,
            "3",
        )
        .blank_lines(8),
        read(
            "10,000 empty lines before the header",
            format!("{}{}", "\r\n".repeat(10_000), joined("\n")),
            2,
            "3",
        )
        .blank_lines(10_000),
        read("NEL and line separators end no line", meter("a\u{85}b\u{2028}c\u{2029}d"), 3, "7")
            .column("meter_name", &["null", "a\u{85}b\u{2028}c\u{2029}d", "null"]),
    ]
}

fn delimiters() -> Vec<Case> {
    let with = |delimiter: &str| {
        String::from_utf8(around(SHORT, "07/02/2025,2,EUR")).unwrap().replace(',', delimiter)
    };
    vec![
        refused("semicolons", with(";"), "no header of a cost file"),
        refused("tabs", with("\t"), "no header of a cost file"),
        refused("bars", with("|"), "no header of a cost file"),
        refused("full-width commas", with("\u{ff0c}"), "no header of a cost file"),
        read("semicolons under a header with commas", around(SHORT, "07/02/2025;2;EUR"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("a line sep=, before the header", format!("sep=,\r\n{}", with(",")), 3, "7"),
        read("a comment before the header", format!("# export of July\n{}", with(",")), 3, "7"),
        read(
            "a title and an empty line before the header",
            format!("Usage, July\r\n\r\n{}", with(",")),
            3,
            "7",
        ),
        read("four lines before the header", format!("a\nb\nc\nd\n{}", with(",")), 3, "7"),
        read(
            "a byte-order mark and a title before the header",
            format!("\u{feff}Usage\n{}", with(",")),
            3,
            "7",
        ),
        read(
            "a title with fewer fields than the header",
            format!("Usage,July\n{}", with(",")),
            3,
            "7",
        ),
        refused(
            "a title with more fields than a title has",
            format!("Usage,of,July,2025\n{}", with(",")),
            "no header of a cost file: it starts with `Usage,of,July,2025`",
        ),
        refused(
            "a row before the header",
            format!("07/01/2025,1,EUR\n{}", with(",")),
            "no header of a cost file: it starts with `07/01/2025,1,EUR`",
        ),
        refused(
            "a row between a title and the header",
            format!("Usage\n\n07/01/2025,1,EUR\n{}", with(",")),
            "no header of a cost file: it starts with `07/01/2025,1,EUR`",
        ),
        refused(
            "a quoted row before the header",
            format!("\"07/01/2025\",\"1\",\"EUR\"\n{}", with(",")),
            "no header of a cost file",
        ),
        refused(
            "five lines before the header",
            format!("a\nb\nc\nd\ne\n{}", with(",")),
            "no header of a cost file",
        ),
        refused(
            "an unclosed quote before the header",
            format!("\"Usage\n{}", with(",")),
            "no header line ends",
        ),
        read("a comment between rows", around(SHORT, "# July"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read("a comment with as many fields as a row", around(SHORT, "# July,2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("Ctrl-Z at the end", format!("{}\u{1a}", with(",")), 3, "7")
            .quarantined(&[(4, "field-count")]),
        read("Ctrl-Z behind the last field", format!("{METER}\n07/01/2025,1,EUR,a\u{1a}"), 1, "1")
            .column("meter_name", &["a\u{1a}"]),
        read("NUL bytes behind the end", format!("{}\0\0\0\0", with(",")), 3, "7")
            .quarantined(&[(4, "field-count")]),
    ]
}

fn glued() -> Vec<Case> {
    let one = "Date,Cost,Currency\r\n07/01/2025,1,EUR\r\n";
    let mark = "\u{feff}";
    let quoted = "\"Date\",\"Cost\",\"Currency\"";
    let again = |name, bytes: String| refused(name, bytes, "repeats the header");
    let with_quantity = "Date,Cost,Currency,Quantity\n07/01/2025,1,EUR,9\n";
    vec![
        again("the header again with a byte-order mark", format!("{mark}{one}{mark}{one}")),
        again("the header again behind two byte-order marks", format!("{mark}{mark}{one}{one}")),
        again("the header again with two byte-order marks", format!("{one}{mark}{mark}{one}")),
        again("the header again in quotes", format!("{one}{quoted}\n")),
        again("the header again without its quotes", format!("{quoted}\n{one}{one}")),
        again("the header again in another case", format!("{one}DATE,COST,CURRENCY\n")),
        again("the header again with blanks", format!("{one}Date, Cost , Currency\n")),
        again("the header again, localised", format!("{one}Datum (Date),Cost,Currency\n")),
        again("the header again behind a title", format!("{one}Usage\n\n{one}")),
        again("the header again behind many rows", {
            format!("{one}{}{one}", "07/01/2025,1,EUR\n".repeat(100))
        }),
        again(
            "another header as a row, columns in another order",
            format!("{with_quantity}Date,Quantity,Currency,Cost\n07/02/2025,9,EUR,2\n"),
        ),
        again("another header as a row, fewer columns", format!("{with_quantity}{one}")),
        again("another header as a row, more columns", format!("{one}{with_quantity}")),
        again(
            "another header as a row, more columns and text behind a quote",
            format!("{one}Date,Cost,Currency,\"Quantity\"x\n"),
        ),
        again(
            "another header as a row, other names",
            format!("{one}UsageDateTime,PreTaxCost,BillingCurrencyCode\n"),
        ),
        read("one name of a column in a row is no header", around(SHORT, "Date,2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read(
            "names of columns in texts are no header",
            around(&format!("{METER},Tags,CostCenter,Product"), "07/02/2025,2,EUR,Cost,,Date,Tags"),
            3,
            "7",
        ),
        refused(
            "the header again as a row",
            format!("{one}{one}"),
            "record 2 at byte 38 repeats the header",
        ),
        refused(
            "the header twice at the start",
            format!("{SHORT}\r\n{one}"),
            "record 1 at byte 20 repeats the header",
        ),
        refused("the header again as the last line", format!("{one}{SHORT}"), "repeats the header"),
        refused(
            "the header again with another line end",
            format!("{one}{SHORT}\n"),
            "repeats the header",
        ),
        read("glued without a line end", format!("{}{one}", one.trim_end()), 1, "1")
            .quarantined(&[(1, "field-count")]),
        read("a byte-order mark", format!("{mark}{one}"), 1, "1"),
        read("two byte-order marks", format!("{mark}{mark}{one}"), 1, "1"),
        read("a byte-order mark before empty lines", format!("{mark}\r\n\r\n{one}"), 1, "1"),
        read(
            "a byte-order mark before a quoted header",
            format!("{mark}\"Date\",Cost,Currency\n07/01/2025,1,EUR\n"),
            1,
            "1",
        ),
        read(
            "a second byte-order mark at the first row",
            format!("{mark}{SHORT}\r\n{mark}07/01/2025,1,EUR\r\n07/02/2025,2,EUR\r\n"),
            2,
            "3",
        ),
        read(
            "a byte-order mark at the first row alone",
            format!("{SHORT}\n{mark}07/01/2025,1,EUR\n"),
            1,
            "1",
        ),
        read(
            "a second byte-order mark before a quoted field",
            format!("{mark}{SHORT}\n{mark}\"07/01/2025\",1,EUR\n"),
            1,
            "1",
        ),
        read(
            "a second byte-order mark before a malformed row",
            format!("{mark}{SHORT}\n{mark}x\n07/01/2025,1,EUR\n"),
            1,
            "1",
        )
        .quarantined(&[(1, "field-count")]),
        read(
            "two byte-order marks at the first row",
            format!("{SHORT}\n{mark}{mark}07/01/2025,1,EUR\n07/02/2025,2,EUR\n"),
            1,
            "2",
        )
        .quarantined(&[(1, "date")]),
        read(
            "a second byte-order mark and nothing behind it",
            format!("{mark}{SHORT}\n{mark}"),
            0,
            "0",
        ),
        read("a byte-order mark at a later row", around(SHORT, "\u{feff}07/02/2025,2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("a byte-order mark inside text", meter("a\u{feff}b"), 3, "7")
            .column("meter_name", &["null", "a\u{feff}b", "null"]),
        read("header only", format!("{SHORT}\r\n"), 0, "0"),
        read("header only, no line end", SHORT, 0, "0"),
        read("header only, marked", format!("{mark}{SHORT}\r\n"), 0, "0"),
        read("header only, marked, no line end", format!("{mark}{SHORT}"), 0, "0"),
        read(
            "a shorter last number is a number",
            "Date,Currency,Cost\n07/01/2025,EUR,1234.5",
            1,
            "1234.5",
        ),
        read(
            "cut behind the currency",
            format!("{METER}\n07/01/2025,1,EUR,a\n07/02/2025,2,EU"),
            1,
            "1",
        )
        .quarantined(&[(2, "field-count")]),
    ]
}

/// Records far longer than a chunk.
pub(super) fn long_cases() -> Vec<Case> {
    let long = |length: usize| "x".repeat(length);
    let lines = "\"\"a\"\",\r\n".repeat(12_000);
    let row = format!("07/01/2025,1,EUR,{}", long(60));
    let short = "07/01/2025,1,EUR,";
    vec![
        read(
            "records a little longer than a chunk",
            file(METER, &[&row, short, short, &row, short]),
            5,
            "5",
        ),
        read(
            "a header a little longer than two chunks",
            file(&format!("{SHORT},{}", long(130)), &[short; 8]),
            8,
            "8",
        ),
        read(
            "many rows behind a record of 100 KB",
            format!("{METER}\n{short}{}\n{}", long(100_000), format!("{short}\n").repeat(2000)),
            2001,
            "2001",
        ),
        read("a field of 8 MiB", meter(&long(8 << 20)), 3, "7"),
        read("a field of more than 8 MiB", meter(&long((8 << 20) + 1)), 2, "5")
            .quarantined(&[(2, "field-length")]),
        read("a quoted field of 20 MB", meter(&format!("\"{}\"", long(20_000_000))), 2, "5")
            .quarantined(&[(2, "field-length")]),
        read("a field of 100 KB", meter(&long(100_000)), 3, "7")
            .column("meter_name", &["null", &long(100_000), "null"]),
        read("a field of 100 KB of quoted lines", meter(&format!("\"{lines}\"")), 3, "7")
            .column("meter_name", &["null", &lines.replace("\"\"", "\""), "null"]),
        read("a malformed row of 100 KB", meter(&format!("\"{}\"x", long(100_000))), 2, "5")
            .quarantined(&[(2, "quote-form")]),
        read(
            "a number of 100 KB",
            around(SHORT, &format!("07/02/2025,{},EUR", "1".repeat(100_000))),
            2,
            "5",
        )
        .quarantined(&[(2, "number-form")]),
        read("100,000 empty fields in a row", meter(&",".repeat(100_000)), 2, "5")
            .quarantined(&[(2, "field-count")]),
        refused(
            "a quote that swallows 100 KB",
            meter(&format!("\"{}", "a,b\r\n".repeat(20_000))),
            "record 2 at byte 49 is not closed",
        ),
    ]
}
