//! The values of cost files, by the name of their column: usual ones, odd ones and wrong ones.

use super::generator::Random;

const ZERO_GUID: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn is_day(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "date" | "usagedatetime")
}

fn is_other_day(name: &str) -> bool {
    let name = name.to_lowercase();
    name == "exchangeratedate" || name.ends_with("startdate") || name.ends_with("enddate")
}

pub(super) fn is_cost(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "costinbillingcurrency" | "cost" | "pretaxcost")
}

pub(super) fn is_currency(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "billingcurrencycode" | "billingcurrency" | "currency")
}

pub(super) fn is_needed(name: &str) -> bool {
    is_day(name) || is_cost(name) || is_currency(name)
}

pub(super) fn is_other_number(name: &str) -> bool {
    const NUMBERS: [&str; 12] = [
        "quantity",
        "usagequantity",
        "consumedquantity",
        "effectiveprice",
        "resourcerate",
        "unitprice",
        "paygprice",
        "marketprice",
        "costinpricingcurrency",
        "costinusd",
        "exchangerate",
        "exchangeratepricingtobilling",
    ];
    NUMBERS.contains(&name.to_lowercase().as_str())
}

pub(super) fn is_boolean(name: &str) -> bool {
    name.eq_ignore_ascii_case("isazurecrediteligible")
}

pub(super) fn is_tags(name: &str) -> bool {
    name.eq_ignore_ascii_case("tags")
}

/// Whether costlake has a text column of that name.
pub(super) fn is_text(name: &str) -> bool {
    const TEXTS: [&str; 9] = [
        "metercategory",
        "subscriptionname",
        "resourcegroup",
        "metername",
        "accountname",
        "productname",
        "product",
        "consumedservice",
        "resourcegroupname",
    ];
    TEXTS.contains(&name.to_lowercase().as_str())
}

/// Whether no generation of files has a column of that name with a meaning.
pub(super) fn is_unknown(name: &str) -> bool {
    matches!(name, "Owner" | "x_Custom" | "Zähler")
}

/// A value that can be typed, however odd.
pub(super) fn sound(random: &mut Random, name: &str, days: &Days) -> String {
    match name {
        _ if is_day(name) => days.day(random),
        _ if is_other_day(name) && random.chance(80) => days.day(random),
        _ if is_cost(name) => number(random),
        _ if is_other_number(name) && random.chance(85) => number(random),
        _ if is_currency(name) => random.pick(&["EUR", "EUR", "EUR", "USD", " jpy"]).to_owned(),
        _ if is_boolean(name) => {
            random.pick(&["True", "False", "TRUE", "false", "1", "0", "", " True "]).to_owned()
        }
        _ if is_other_day(name) || is_other_number(name) => String::new(),
        _ if is_tags(name) => random.pick(&TAGS).to_owned(),
        _ => text(random, name),
    }
}

/// A value without quotes, commas and line breaks.
pub(super) fn plain(random: &mut Random, name: &str, days: &Days) -> String {
    match name {
        _ if is_day(name) => days.day(random),
        _ if is_cost(name) => format!("{}.{}", random.below(100), random.digits(2)),
        _ if is_currency(name) => "EUR".to_owned(),
        _ if is_other_day(name) || is_other_number(name) || is_boolean(name) => String::new(),
        _ => random.pick(&["", "a", "Storage", "Größe"]).to_owned(),
    }
}

const TAGS: [&str; 22] = [
    "",
    "",
    r#""env": "prod""#,
    r#""env": "prod","owner": "a, b""#,
    r#"{"env":"prod"}"#,
    r#"{"env":"prod","n":1.50,"list":[1,{"x":null}]}"#,
    r#"{"env":"a","ENV":"b","env":"c"}"#,
    r#" { "a": "{" } "#,
    r#""k": "{\"nested\": \"yes\"}""#,
    r#"{"u":"\u00e9","v":"✓"}"#,
    r#"{"e":1e5,"url":"https://x/?a=b,c"}"#,
    "  ",
    "\r\n",
    r#""env": "#,
    "env:prod",
    r#"{"a":"b""#,
    r#""a":"b"},{"c":"d""#,
    "[1,2]",
    "{\"a\":\"line\nbreak\"}",
    r#"{"n": NaN}"#,
    r#"{"n": 01}"#,
    r#""a":"b","#,
];

const TEXTS: [&str; 36] = [
    "",
    "",
    "",
    "a",
    "Storage",
    "Storage",
    "Virtual Machines",
    "a, b",
    "24\"",
    "{\"k\":1}",
    "G\"h\"i",
    "\"quoted\"",
    "say \"hi\", twice",
    " \"E\"",
    "Größe ✓",
    "\u{a0}no\u{a0}break\u{a0}",
    "  blanks  ",
    "=cmd|' /C calc'!A0",
    "NULL",
    "null",
    "None",
    "NaN",
    "\\N",
    "Unassigned",
    "\u{1b}[31mred",
    "\u{202e}desrever",
    "line\u{2028}separator",
    "tab\tbed",
    "nul\0byte",
    "line\nbreak",
    "line\r\nbreak",
    "return\ralone",
    "'",
    "\"",
    "0",
    "#comment",
];

fn text(random: &mut Random, name: &str) -> String {
    let name = name.to_lowercase();
    match name.as_str() {
        "subscriptionid" | "subscriptionguid" | "meterid" | "resourceguid" => {
            random.pick(&[ZERO_GUID, "", "d6d1ca1c-2f3b-4b1c-a8a4-0d4b8f9a77e1", "-2"]).to_owned()
        }
        "invoicesectionid" | "departmentid" | "accountid" | "partnumber" => {
            random.pick(&["-2", "", "007", "AAA-12345", "-2 ", ZERO_GUID]).to_owned()
        }
        "chargetype" => random.pick(&CHARGES).to_owned(),
        "pricingmodel" => {
            random.pick(&["OnDemand", "", "Spot", "Reservation", "Savings Plan"]).to_owned()
        }
        "publishertype" => random.pick(&["Azure", "Microsoft", "Marketplace", ""]).to_owned(),
        "benefitid" => random
            .pick(&[
                "",
                "/providers/Microsoft.Capacity/x",
                "/PROVIDERS/microsoft.billingbenefits/y",
            ])
            .to_owned(),
        "reservationid" => random.pick(&["", "", "r-1"]).to_owned(),
        _ if random.chance(1) => "long text, ".repeat(1 + random.below(300)),
        _ => random.pick(&TEXTS).to_owned(),
    }
}

const CHARGES: [&str; 9] = [
    "Usage",
    "Usage",
    "usage",
    "Purchase",
    "Refund",
    "UnusedReservation",
    "UnusedSavingsPlan",
    "RoundingAdjustment",
    "Tax",
];

/// A number of an accepted form.
fn number(random: &mut Random) -> String {
    let sign = if random.chance(15) { "-" } else { "" };
    let (below, digits) = (random.below(1000), 1 + random.below(9));
    match random.below(20) {
        0..5 => format!("{sign}{below}.{}", random.digits(digits)),
        5 => format!("{sign}{below}"),
        6..9 => format!("{sign}0.{}", random.digits(25 + digits % 4)),
        9 => format!("{sign}0.{}", random.digits(29 + digits)),
        10 => format!("{sign}{below}.{}", random.digits(24)),
        11 => format!("0.{}{}{}", "0".repeat(7), random.digits(3), "0".repeat(17)),
        12 => format!("{sign}{below}.{}E-{:02}", random.digits(digits), 1 + digits),
        13 => format!("{below}.{}0000000000000{}", random.digits(2), 1 + digits % 8),
        14 => format!("{sign}{}.{}", random.digits(14), random.digits(24)),
        _ => random.pick(&NUMBERS).to_owned(),
    }
}

const NUMBERS: [&str; 23] = [
    "0",
    "-0",
    "0.00",
    "007",
    "00012.50",
    " 7.5 ",
    "0e-999",
    "1e3",
    "2E+2",
    "8.42E-05",
    "5.99772e-07",
    "15e-25",
    "25e-25",
    "-25e-25",
    "2.50001e-24",
    "1.5E-24",
    "99999999999999.999999999999999999999999",
    "-99999999999999",
    "9.9e13",
    "0.00000000000000000000000000000000000001",
    "10e-39",
    "0.2618755954811488071493712087",
    "0.0000000072922557592391990000",
];

/// A text that is no accepted number.
pub(super) fn bad_number(random: &mut Random) -> &'static str {
    const BAD: [&str; 38] = [
        "+1.5",
        ".5",
        "5.",
        "1e",
        "e5",
        "1e+",
        "1e1000",
        "1.2.3",
        "1,5",
        "1.234,50",
        "1,234.50",
        "1 000",
        "1_000",
        "(1.50)",
        "$1.50",
        "50%",
        "NaN",
        "Infinity",
        "-inf",
        "NULL",
        "None",
        "\\N",
        "=1+1",
        "0x10",
        "--1",
        "-",
        "\u{2212}1",
        "1\u{a0}",
        "\t1",
        "١٢",
        "100000000000000",
        "1e14",
        "1e300",
        "1e-39",
        "0.000000000000000000000000000000000000001",
        "99999999999999.9999999999999999999999999",
        "1234567890123456789012345678901234567890",
        "0.00000000000000000000000000000000000000000000000000000000000000000",
    ];
    random.pick(&BAD)
}

/// The format of the days of a file, with what stands behind them.
pub(super) struct Days {
    format: Format,
    clocks: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Format {
    MonthFirst,
    MonthFirstShort,
    TwoDigitYear,
    Iso,
    Compact,
}

impl Days {
    pub(super) fn draw(random: &mut Random) -> Self {
        let format = random.pick(&[
            Format::MonthFirst,
            Format::MonthFirst,
            Format::MonthFirstShort,
            Format::TwoDigitYear,
            Format::Iso,
            Format::Iso,
            Format::Iso,
            Format::Compact,
        ]);
        let none: &[&str] = &[""];
        let clocks = match format {
            Format::Compact => none,
            Format::Iso => random.pick(&[
                none,
                &[" 00:00:00", ""],
                &["T00:00Z", "Z", "T0:00"],
                &["T00:00:00.0000000Z"],
                &["T00:00:00+00:00", " 0:00:00.0"],
            ]),
            _ => random.pick(&[none, none, &["", " 0:00"], &[" 00:00:00", " 00:00Z"]]),
        };
        Self { format, clocks }
    }

    fn day(&self, random: &mut Random) -> String {
        let (year, month, day) =
            (2019 + random.below(7), 1 + random.below(12), 1 + random.below(28));
        let short = year % 100;
        let text = match self.format {
            Format::MonthFirst => format!("{month:02}/{day:02}/{year}"),
            Format::MonthFirstShort => format!("{month}/{day}/{year}"),
            Format::TwoDigitYear => format!("{month}/{day}/{short}"),
            Format::Iso => format!("{year}-{month:02}-{day:02}"),
            Format::Compact => format!("{year}{month:02}{day:02}"),
        };
        let blank = if random.chance(3) { " " } else { "" };
        format!("{blank}{text}{}{blank}", random.pick(self.clocks))
    }

    /// What is no day, or one of another format.
    pub(super) fn bad(&self, random: &mut Random) -> String {
        const BAD: [&str; 20] = [
            "13/01/2025",
            "02/30/2025",
            "2025-02-29",
            "2025-13-01",
            "20250431",
            "00/10/2025",
            "2025/01/02",
            "01-02-2025",
            "2025-1-2",
            "2025-01-01 12:00:00",
            "1/2/2025 12:00 AM",
            "2025-01-01T00:00:00+01:00",
            "2025-01-01T24:00",
            "2025-01-01x",
            "1/2/025",
            "1899-12-31",
            "0001-01-01",
            "45000",
            "July 1, 2025",
            "soon",
        ];
        match random.below(3) {
            0 => Self::draw(random).day(random),
            _ => random.pick(&BAD).replace(',', ""),
        }
    }
}
