//! Small cost files from a seed: of all generations, in every spelling that files are known to have,
//! sound, with rows that cannot be typed, or refused.
//!
//! A file is made in three steps: a [`Style`] is drawn, records are drawn in that style, and the text
//! is put together. What is wrong with a file is drawn with it, but never written down: readers must
//! find it out.

use super::layouts::LAYOUTS;
use super::values::{self, Days};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// A stream of pseudo-random numbers (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub(super) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| self.pick(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// A generated file.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// The currency that the reader is to be given.
    pub(super) currency: Option<&'static str>,
}

/// How many files in a hundred have rows that cannot be typed.
const FAULTY: usize = 30;
/// How many are to be refused.
const REFUSED: usize = 10;

/// The file of that number: the same one each time.
pub(super) fn file(number: u64) -> File {
    let mut random = Random::new(0xc057_1a4e ^ (number << 20));
    let random = &mut random;
    let kind = random.below(100);
    if kind < REFUSED {
        return refused(random);
    }
    let style = Style::draw(random);
    let draft = Draft::draw(random, &style, kind < REFUSED + FAULTY);
    File { bytes: draft.text(random, &style), currency: style.currency }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Minimal,
    All,
    Random,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnds {
    LineFeed,
    CarriageReturnLineFeed,
    Mixed,
}

/// How a file is written.
struct Style {
    /// The columns as their layout names them.
    columns: Vec<String>,
    /// The names as the file spells them.
    header: Vec<String>,
    currency: Option<&'static str>,
    quoting: Quoting,
    line_ends: LineEnds,
    days: Days,
    blank_lines: bool,
    marks: usize,
    titles: Vec<&'static str>,
    nameless: usize,
}

const EXTRA: [&str; 8] = [
    "Owner",
    "Projekt-Nr",
    "Kommentar, intern",
    "x_Custom",
    "Team \"A\"",
    "Zähler",
    "column_3",
    "ResellerName2",
];

impl Style {
    fn draw(random: &mut Random) -> Self {
        let layout: Vec<&str> = random.pick(&LAYOUTS).split(',').collect();
        let mut columns = picked(random, &layout);
        let lacks_currency = !columns.iter().any(|name| values::is_currency(name));
        for name in EXTRA {
            if random.chance(4) {
                columns.push(name.to_owned());
            }
        }
        if random.chance(30) {
            random.shuffle(&mut columns);
        }
        let spelling = Spelling::draw(random);
        let header = columns.iter().map(|name| spelling.spell(random, name)).collect();
        Self {
            header,
            columns,
            currency: (lacks_currency || random.chance(3)).then(|| random.pick(&["USD", "EUR"])),
            quoting: random.pick(&[
                Quoting::Minimal,
                Quoting::Minimal,
                Quoting::All,
                Quoting::Random,
            ]),
            line_ends: match random.below(20) {
                0..9 => LineEnds::LineFeed,
                9..18 => LineEnds::CarriageReturnLineFeed,
                _ => LineEnds::Mixed,
            },
            days: Days::draw(random),
            blank_lines: random.chance(20),
            marks: random.pick(&[0, 0, 0, 1, 1, 1, 1]),
            titles: titles(random),
            nameless: if random.chance(8) { 1 + random.below(3) } else { 0 },
        }
    }

    fn line_end(&self, random: &mut Random) -> &'static [u8] {
        match self.line_ends {
            LineEnds::LineFeed => b"\n",
            LineEnds::CarriageReturnLineFeed => b"\r\n",
            LineEnds::Mixed => random.pick(&[&b"\n"[..], b"\r\n"]),
        }
    }

    /// Writes a field: quoted where it must be, or where the style is so.
    fn write(&self, random: &mut Random, text: &str) -> Vec<u8> {
        let can_be_bare = !text.starts_with('"') && !text.contains([',', '\n', '\r']);
        let quoted = match self.quoting {
            _ if !can_be_bare => true,
            Quoting::All => true,
            Quoting::Random => random.chance(30),
            Quoting::Minimal => text.contains('"') && random.chance(40),
        };
        if !quoted {
            return text.as_bytes().to_vec();
        }
        format!("\"{}\"", text.replace('"', "\"\"")).into_bytes()
    }
}

/// All columns of a layout, or some; those without which no file is read among them.
fn picked(random: &mut Random, layout: &[&str]) -> Vec<String> {
    let share = random.pick(&[100, 60, 25, 8, 8]);
    let needed = |name: &str| values::is_needed(name);
    layout
        .iter()
        .filter(|name| needed(name) || random.chance(share))
        .map(|name| (*name).to_owned())
        .collect()
}

fn titles(random: &mut Random) -> Vec<&'static str> {
    match random.below(100) {
        0..3 => vec!["Usage data for enrollment 1234567"],
        3..5 => vec!["sep=,"],
        5..6 => vec!["Detail of July", "", "all departments, all accounts"],
        _ => Vec::new(),
    }
}

/// How the names of a file are spelled.
#[derive(Clone, Copy)]
enum Spelling {
    AsIs,
    Lower,
    Upper,
    Words(&'static str),
    Localised,
    Padded(&'static str),
}

impl Spelling {
    fn draw(random: &mut Random) -> Self {
        match random.below(20) {
            0..10 => Self::AsIs,
            10..12 => Self::Lower,
            12 => Self::Upper,
            13..15 => Self::Words(random.pick(&[" ", "_", "-"])),
            15..18 => Self::Localised,
            _ => Self::Padded(random.pick(&[" ", "\u{a0}"])),
        }
    }

    fn spell(self, random: &mut Random, name: &str) -> String {
        match self {
            Self::AsIs => name.to_owned(),
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
            Self::Words(separator) => words(name, separator),
            Self::Localised if random.chance(60) => {
                let local = random.pick(&["Datum", "Kosten (netto)", "Währung", "Número"]);
                format!("{local} ({name})")
            }
            Self::Localised => name.to_owned(),
            Self::Padded(blank) => format!("{blank}{name}{blank}"),
        }
    }
}

/// `MeterCategory` as `Meter Category`.
fn words(name: &str, separator: &str) -> String {
    let mut text = String::new();
    for (at, c) in name.char_indices() {
        if at > 0 && c.is_ascii_uppercase() && text.ends_with(|c: char| c.is_ascii_lowercase()) {
            text.push_str(separator);
        }
        text.push(c);
    }
    text
}

/// The records of a file, each as the bytes of its fields or of the whole line.
struct Draft {
    rows: Vec<Vec<u8>>,
    second_mark: bool,
    ends_bare: bool,
}

impl Draft {
    fn draw(random: &mut Random, style: &Style, is_faulty: bool) -> Self {
        let count = match random.below(20) {
            0 => 0,
            1 => 1,
            2..15 => 2 + random.below(14),
            _ => 10 + random.below(50),
        };
        let count = if is_faulty { count.max(1) } else { count };
        let first_fault = random.below(count);
        let mut rows = Vec::new();
        for at in 0..count {
            let is_fault = is_faulty && (at == first_fault || random.chance(15));
            rows.push(if is_fault { faulty_row(random, style) } else { row(random, style) });
        }
        let second_mark =
            random.chance(4) && rows.first().is_some_and(|row| !row.starts_with(b"\""));
        if is_faulty && random.chance(4) {
            rows.push(b"\x1a".to_vec());
        }
        Self { rows, second_mark, ends_bare: random.chance(25) }
    }

    fn text(&self, random: &mut Random, style: &Style) -> Vec<u8> {
        let mut text = MARK.repeat(style.marks);
        for title in &style.titles {
            text.extend_from_slice(title.as_bytes());
            text.extend_from_slice(style.line_end(random));
        }
        text.extend(header_line(random, style));
        text.extend_from_slice(style.line_end(random));
        if self.second_mark {
            text.extend_from_slice(MARK);
        }
        for (at, row) in self.rows.iter().enumerate() {
            while at > 0 && style.blank_lines && random.chance(12) {
                text.extend_from_slice(style.line_end(random));
            }
            text.extend_from_slice(row);
            if at + 1 < self.rows.len() || !self.ends_bare {
                text.extend_from_slice(style.line_end(random));
            }
        }
        text
    }
}

fn header_line(random: &mut Random, style: &Style) -> Vec<u8> {
    let mut names: Vec<Vec<u8>> =
        style.header.iter().map(|name| style.write(random, name)).collect();
    names.extend(vec![Vec::new(); style.nameless]);
    names.join(&b',')
}

/// A row that can be typed.
fn row(random: &mut Random, style: &Style) -> Vec<u8> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for name in &style.columns {
        let value = values::sound(random, name, &style.days);
        fields.push(style.write(random, &value));
    }
    finished(random, style, fields)
}

/// The same without line breaks and quotes within fields.
fn plain_fields(random: &mut Random, style: &Style) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    for name in &style.columns {
        fields.push(values::plain(random, name, &style.days).into_bytes());
    }
    fields
}

fn finished(random: &mut Random, style: &Style, mut fields: Vec<Vec<u8>>) -> Vec<u8> {
    for _ in 0..style.nameless {
        fields.push(if random.chance(5) { b"note".to_vec() } else { Vec::new() });
    }
    fields.join(&b',')
}

/// A row with something that nobody can type, or two such things.
fn faulty_row(random: &mut Random, style: &Style) -> Vec<u8> {
    let mut fields = plain_fields(random, style);
    let faults = if random.chance(25) { 2 } else { 1 };
    for _ in 0..faults {
        spoil(random, style, &mut fields);
    }
    if fields.len() >= style.columns.len() {
        return finished(random, style, fields);
    }
    // A line without a byte would be an empty line, and no row.
    if fields.iter().all(Vec::is_empty) {
        fields[0] = b"x".to_vec();
    }
    fields.join(&b',')
}

/// Spoils a row that was sound, or was spoiled before.
fn spoil(random: &mut Random, style: &Style, fields: &mut Vec<Vec<u8>>) {
    if fields.len() != style.columns.len() {
        return;
    }
    let at = |sought: fn(&str) -> bool| style.columns.iter().position(|name| sought(name));
    let text_at = at(values::is_text);
    match random.below(14) {
        0 => fields.truncate(1 + random.below(fields.len() - 1)),
        1 => fields.push(random.pick(&[&b""[..], b"x", b"12.5"]).to_vec()),
        2 => {
            if let Some(at) = text_at {
                fields[at] = random
                    .pick(&[&b"\"a\"b"[..], b"\"a\\\"b\"", b"\"a\" ", b"\"a\"\"\"b"])
                    .to_vec();
            }
        }
        3 => {
            if let Some(at) = text_at {
                fields[at] = random.pick(&[&b"a\rb"[..], b"\ra", b"a\r\rb"]).to_vec();
            }
        }
        4 => {
            let bad: &[u8] = random.pick(&[
                &b"M\xfcnchen"[..],
                b"\xc0\xaf",
                b"\xed\xa0\x80",
                b"a\xff",
                b"\"x, \xfe\"",
            ]);
            let at = random.pick(&[text_at, at(values::is_tags), at(values::is_unknown)]);
            fields[at.unwrap_or(0)] = bad.to_vec();
        }
        5 => {
            let needed: Vec<usize> =
                (0..fields.len()).filter(|at| values::is_needed(&style.columns[*at])).collect();
            fields[random.pick(&needed)] = random.pick(&[&b""[..], b"\"\"", b" "]).to_vec();
        }
        6 => {
            let cost = at(values::is_cost).unwrap_or(0);
            let total = fields[cost].clone();
            fields.iter_mut().for_each(Vec::clear);
            fields[cost] = total;
        }
        7 => fields.iter_mut().for_each(Vec::clear),
        8 => *fields = vec![b"   ".to_vec()],
        9 => {
            if let Some(at) = at(values::is_boolean) {
                fields[at] = random.pick(&[&b"yes"[..], b"2", b"T", b"wahr"]).to_vec();
            }
        }
        10 => {
            let date = at(values::is_day).unwrap_or(0);
            fields[date] = style.days.bad(random).into_bytes();
        }
        11 => {
            let at = at(values::is_other_number).or(at(values::is_cost)).unwrap_or(0);
            let number = values::bad_number(random);
            fields[at] = style.write(random, number);
        }
        _ => {
            let cost = at(values::is_cost).unwrap_or(0);
            let number = values::bad_number(random);
            fields[cost] = style.write(random, number);
        }
    }
}

/// A file with one fault for which nobody can trust it.
fn refused(random: &mut Random) -> File {
    let mut style = Style::draw(random);
    style.titles.clear();
    let mut draft = Draft::draw(random, &style, false);
    draft.second_mark = false;
    let position = |sought: fn(&str) -> bool| style.columns.iter().position(|name| sought(name));
    let needed = position(values::is_cost).unwrap_or(0);
    let fault = random.below(16);
    match fault {
        0 => draft.rows.push(b"\"07/01/2025,1,EUR".to_vec()),
        1 => {
            draft.rows.retain(|row| !row.contains(&b'"'));
            draft.rows.insert(draft.rows.len() / 2, b"07/01/2025,\"1,EUR,a b".to_vec());
        }
        2 => style.header[needed] = "Kosten".to_owned(),
        3 => style.header.push(style.header[needed].clone()),
        4 => style.header.push("ExtendedCost".to_owned()),
        5 => style.header.extend(["Mine".to_owned(), " Mine".to_owned()]),
        6 => {
            let line = header_line(random, &style);
            draft.rows.insert(draft.rows.len() / 2, line);
        }
        7 => style.titles.extend(["a", "b", "c", "d", "e"]),
        8 => style.titles.push("Enrollment,1234567,July 2025"),
        9 => style.header[needed] = "Cost\u{441}".to_owned(),
        _ => {}
    }
    let text = draft.text(random, &style);
    let bytes = match fault {
        10 => "<!DOCTYPE html>\n<title>Sign in</title>\n".as_bytes().to_vec(),
        11 => {
            b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code>".to_vec()
        }
        12 => utf16(&text),
        13 => random.pick(&[&b""[..], b"\n\n", b"\xef\xbb\xbf\r\n"]).to_vec(),
        14 => [b"\x1f\x8b\x08\x00".as_slice(), &text].concat(),
        15 => b"Date;Cost;Currency\n07/01/2025;1;EUR\n07/02/2025;2;EUR\n".to_vec(),
        _ => text,
    };
    File { bytes, currency: style.currency }
}

fn utf16(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let units = text.trim_start_matches('\u{feff}').encode_utf16();
    let mark = if text.starts_with('\u{feff}') { &b"\xff\xfe"[..] } else { b"" };
    [mark, &units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat()
}
