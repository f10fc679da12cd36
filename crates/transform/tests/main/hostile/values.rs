//! Days, currencies, tags, identifiers, booleans, amounts.

use super::{Case, METER, SHORT, around, file, meter, read};

pub(super) fn cases() -> Vec<Case> {
    [day_forms(), bad_days(), mixed_days(), booleans(), currencies(), tags(), texts(), amounts()]
        .into_iter()
        .flatten()
        .collect()
}

fn day_forms() -> Vec<Case> {
    let form = |name, text: &str, day| {
        read(name, file(SHORT, &[&format!("{text},1,EUR")]), 1, "1").column("charge_date", &[day])
    };
    vec![
        form("MM/DD/YYYY", "09/21/2023", "2023-09-21"),
        form("M/D/YYYY", "9/2/2023", "2023-09-02"),
        form("M/D/YY", "3/1/21", "2021-03-01"),
        form("M/D/YYYY with midnight", "1/10/2025 0:00", "2025-01-10"),
        form("YYYY-MM-DD", "2020-09-22", "2020-09-22"),
        form("YYYY-MM-DD with midnight", "2019-07-29 00:00:00", "2019-07-29"),
        form("ISO with midnight", "2024-01-01T00:00:00Z", "2024-01-01"),
        form("ISO with minutes", "2024-01-01T00:00Z", "2024-01-01"),
        form("ISO with seven digits", "2019-04-09T00:00:00.0000000Z", "2019-04-09"),
        form("ISO with the offset of UTC", "2024-01-01T00:00:00+00:00", "2024-01-01"),
        form("a day of UTC", "2024-01-01Z", "2024-01-01"),
        form("M/D/YYYY with seconds", "1/10/2025 00:00:00", "2025-01-10"),
        form("YYYYMMDD", "20240601", "2024-06-01"),
        form("a quoted day", "\"09/21/2023\"", "2023-09-21"),
        form("blanks around a day", "  09/21/2023 ", "2023-09-21"),
        form("a leap day", "02/29/2024", "2024-02-29"),
        form("the year 9999", "12/31/9999", "9999-12-31"),
        form("the year 1900", "1900-01-01", "1900-01-01"),
        form("the first of two readings is month first", "01/02/2025", "2025-01-02"),
    ]
}

fn bad_days() -> Vec<Case> {
    let bad = |name, day: &str| {
        read(name, around(SHORT, &format!("{day},2,EUR")), 2, "5").quarantined(&[(2, "date")])
    };
    let bad_alone = |name, day: &str| {
        read(name, file(SHORT, &[&format!("{day},2,EUR")]), 0, "0").quarantined(&[(1, "date")])
    };
    vec![
        bad("the 30th of February", "02/30/2025"),
        bad("a leap day in another year", "02/29/2025"),
        bad("day first", "13/01/2025"),
        bad_alone("day first in a file of its own", "21/09/2023"),
        bad_alone("ISO with the 30th of February", "2025-02-30"),
        bad_alone("ISO with month 13", "2025-13-01"),
        bad_alone("ISO with one digit", "2025-7-1"),
        bad("month zero", "00/10/2025"),
        bad("day zero", "07/00/2025"),
        bad("the year 0001", "01/01/0001"),
        bad_alone("the year 0001 in ISO", "0001-01-01"),
        bad("a year of three digits", "07/01/025"),
        bad("a year of five digits", "07/01/20250"),
        bad_alone("the year 10000", "10000-01-01"),
        bad("no year", "07/01"),
        bad("four parts", "07/01/2025/1"),
        bad_alone("noon", "2025-07-01 12:00:00"),
        bad("noon after a spreadsheet", "7/1/2025 12:00"),
        bad_alone("an offset", "2025-07-01T00:00:00+02:00"),
        bad_alone("slashes in ISO order", "2025/07/01"),
        bad_alone("dots", "01.07.2025"),
        bad_alone("dashes, month first", "07-01-2025"),
        bad_alone("a month by name", "1 July 2025"),
        bad_alone("a serial number", "45839"),
        bad_alone("the compact form of no day", "20250230"),
        bad("a day and half a clock", "07/02/2025 :"),
        bad("a day and a blank clock", "07/02/2025 0"),
        bad("a clock of one digit for minutes", "07/02/2025 0:0"),
        bad("a clock of three zeros", "07/02/2025 000:00"),
        bad("a clock of four parts", "07/02/2025 00:00:00:00"),
        bad("a clock and a point", "07/02/2025 0:00:00."),
        bad("a clock behind two blanks", "07/02/2025  0:00"),
        bad("hour 24", "07/02/2025 24:00"),
        bad("midnight in words", "07/02/2025 12:00:00 AM"),
        bad_alone("half a clock in ISO", "2025-07-01T:.:0"),
        bad_alone("an ISO T without a clock", "2025-07-01T"),
        bad_alone("an ISO T and Z without a clock", "2025-07-01TZ"),
        bad_alone("two marks of UTC", "2025-07-01T00:00:00ZZ"),
        bad_alone("an offset without a colon", "2025-07-01T00:00:00+0000"),
        bad_alone("a fraction of a second", "2025-07-01T00:00:00.001Z"),
        bad("Arabic digits", "\u{660}\u{667}/01/2025"),
        bad("a no-break space", "\u{a0}07/02/2025"),
        bad("a sign", "-7/02/2025"),
        bad("text", "yesterday"),
        bad("a formula for a day", "=TODAY()"),
        bad("NULL for a day", "NULL"),
        read("a file without any day", file(SHORT, &["x,1,EUR", "y,2,EUR"]), 0, "0")
            .quarantined(&[(1, "date"), (2, "date")]),
        read("no day: a row of totals", file(SHORT, &["07/01/2025,1,EUR", ",1,"]), 1, "1")
            .quarantined(&[(2, "missing")]),
        read("Total for a day", file(SHORT, &["07/01/2025,1,EUR", "Total,1,EUR"]), 1, "1")
            .quarantined(&[(2, "date")]),
        read("a blank day", around(SHORT, "  ,2,EUR"), 2, "5").quarantined(&[(2, "missing")]),
    ]
}

fn mixed_days() -> Vec<Case> {
    let days = |rows: &[&str]| {
        let rows: Vec<String> = rows.iter().map(|day| format!("{day},1,EUR")).collect();
        file(SHORT, &rows.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let period = format!("{SHORT},BillingPeriodStartDate");
    let without = "07/01/2025,1,EUR,\n".repeat(8);
    let blank = "\n".repeat(100);
    let (bad, sound) = ("x,1,EUR\n".repeat(100), "2025-07-01,1,EUR\n");
    let late: Vec<(i64, &str)> = (1..=100).map(|at| (at, "date")).collect();
    vec![
        read(
            "another format many rows behind the first day of a column",
            format!(
                "{period}\n{without}07/01/2025,1,EUR,2025-07-01\n{without}\
                 07/01/2025,1,EUR,07/01/2025\n"
            ),
            17,
            "17",
        )
        .quarantined(&[(18, "date")]),
        read(
            "another format many empty lines behind the first day",
            format!("{SHORT}\n{blank}2025-07-01,1,EUR\n{blank}07/01/2025,1,EUR\n"),
            1,
            "1",
        )
        .quarantined(&[(2, "date")])
        .blank_lines(200),
        read(
            "another format many rows behind a first day in a row that is rejected",
            format!("{SHORT}\n2025-07-01,x,EUR\n{}", "07/01/2025,1,EUR\n".repeat(10)),
            0,
            "0",
        )
        .quarantined(&[
            (1, "number-form"),
            (2, "date"),
            (3, "date"),
            (4, "date"),
            (5, "date"),
            (6, "date"),
            (7, "date"),
            (8, "date"),
            (9, "date"),
            (10, "date"),
            (11, "date"),
        ]),
        read("a first day behind many that are none", format!("{SHORT}\n{bad}{sound}"), 1, "1")
            .quarantined(&late),
        read("ISO behind month first", days(&["07/01/2025", "2025-07-02", "07/03/2025"]), 2, "2")
            .quarantined(&[(2, "date")]),
        read("month first behind ISO", days(&["2025-07-01", "07/02/2025", "2025-07-03"]), 2, "2")
            .quarantined(&[(2, "date")]),
        read("compact behind ISO", days(&["2025-07-01", "20250702"]), 1, "1")
            .quarantined(&[(2, "date")]),
        read("ISO with and without a time", days(&["2025-07-01", "2025-07-02T00:00:00Z"]), 2, "2"),
        read("month first, short and long", days(&["07/01/2025", "7/2/2025", "7/3/25"]), 3, "3"),
        read("day first shows in the second row", days(&["01/02/2025", "13/02/2025"]), 1, "1")
            .quarantined(&[(2, "date")]),
        read(
            "a bad day decides no format",
            days(&["13/13/2025", "2025-07-01", "07/01/2025"]),
            1,
            "1",
        )
        .quarantined(&[(1, "date"), (3, "date")]),
        read(
            "each column has its own format",
            file(&period, &["07/01/2025,1,EUR,2025-07-01", "07/02/2025,2,EUR,2025-07-01"]),
            2,
            "3",
        )
        .column("billing_period_start", &["2025-07-01", "2025-07-01"]),
        read(
            "an optional day may be missing",
            around(&period, "07/02/2025,2,EUR,07/01/2025"),
            3,
            "7",
        )
        .column("billing_period_start", &["null", "2025-07-01", "null"]),
        read("an optional day that is none", around(&period, "07/02/2025,2,EUR,soon"), 2, "5")
            .quarantined(&[(2, "date")]),
        read(
            "a day outside the billing period is kept",
            file(&period, &["05/31/2025,1,EUR,07/01/2025"]),
            1,
            "1",
        ),
    ]
}

fn booleans() -> Vec<Case> {
    let header = format!("{SHORT},IsAzureCreditEligible");
    let row = |value: &str| around(&header, &format!("07/02/2025,2,EUR,{value}"));
    let reads = |name, value: &str, expected| {
        read(name, row(value), 3, "7")
            .column("is_azure_credit_eligible", &["null", expected, "null"])
    };
    let bad = |name, value: &str| read(name, row(value), 2, "5").quarantined(&[(2, "boolean")]);
    vec![
        reads("True", "True", "true"),
        reads("TRUE", "TRUE", "true"),
        reads("true in quotes", "\"true\"", "true"),
        reads("1 is true", "1", "true"),
        reads("blanks around a boolean", " True ", "true"),
        reads("False", "False", "false"),
        reads("0 is false", "0", "false"),
        reads("blank is no boolean", "  ", "null"),
        bad("yes", "yes"),
        bad("Y", "Y"),
        bad("2 is no boolean", "2"),
        bad("wahr", "wahr"),
        bad("NULL for a boolean", "NULL"),
    ]
}

fn currencies() -> Vec<Case> {
    vec![
        read(
            "two currencies",
            file(SHORT, &["07/01/2025,1,EUR", "07/01/2025,2,USD", "07/01/2025,4,EUR"]),
            3,
            "7",
        )
        .column("billing_currency", &["EUR", "USD", "EUR"]),
        read("no currency in a row", around(SHORT, "07/02/2025,2,"), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("quoted empty currency", around(SHORT, "07/02/2025,2,\"\""), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("a blank currency", around(SHORT, "07/02/2025,2,  "), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("a quoted blank currency", around(SHORT, "07/02/2025,2,\" \t\""), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("a tab behind a day", around(SHORT, "07/02/2025\t,2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("a line end behind a day", around(SHORT, "\"07/02/2025\n\",2,EUR"), 2, "5")
            .quarantined(&[(2, "date")]),
        read("blanks around a currency are kept", around(SHORT, "07/02/2025,2, EUR "), 3, "7")
            .column("billing_currency", &["EUR", " EUR ", "EUR"]),
        read("no currency in two rows", file(SHORT, &["07/02/2025,2,", "07/02/2025,2,"]), 0, "0")
            .quarantined(&[(1, "missing"), (2, "missing")]),
        read(
            "currencies are text as written",
            file(SHORT, &["07/01/2025,1,eur", "07/01/2025,2,EUR"]),
            2,
            "3",
        )
        .column("billing_currency", &["eur", "EUR"]),
    ]
}

fn tags() -> Vec<Case> {
    let header = format!("{SHORT},Tags");
    let quoted = |tags: &str| {
        let field = tags.replace('"', "\"\"");
        around(&header, &format!("07/02/2025,2,EUR,\"{field}\""))
    };
    let parsed = |name, tags: &str, expected: &str| {
        read(name, quoted(tags), 3, "7")
            .column("tags", &["null", expected, "null"])
            .column("tags_raw", &["null", "null", "null"])
    };
    let raw = |name, tags: &str| {
        read(name, quoted(tags), 3, "7")
            .column("tags", &["null", "null", "null"])
            .column("tags_raw", &["null", tags, "null"])
    };
    let long = format!("\"k\": \"{}\"", "v".repeat(100_000));
    let many: Vec<String> = (0..10_000).map(|at| format!("\"k{at}\": \"v\"")).collect();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    vec![
        parsed("tags with braces", r#"{"env":"prod"}"#, r#"{"env":"prod"}"#),
        parsed(
            "tags without braces",
            r#""env": "prod","owner": "me""#,
            r#"{"env": "prod","owner": "me"}"#,
        ),
        parsed("blanks around tags", "  {\"a\":\"b\"} ", "{\"a\":\"b\"}"),
        parsed(
            "a line end between tags",
            "\"a\": \"b\",\r\n\"c\": \"d\"",
            "{\"a\": \"b\",\r\n\"c\": \"d\"}",
        ),
        parsed(
            "commas and quotes in tags",
            r#""a": "b,c \"d\"","e": """#,
            r#"{"a": "b,c \"d\"","e": ""}"#,
        ),
        parsed("braces inside a tag", r#""a": "}{""#, r#"{"a": "}{"}"#),
        parsed("empty braces", "{}", "{}"),
        parsed("blank tags are none", "   ", "null"),
        parsed("tags of a tab and a line end are none", "\t\r\n", "null"),
        read("bare blank tags are none", around(&header, "07/02/2025,2,EUR,   "), 3, "7")
            .column("tags", &["null", "null", "null"])
            .column("tags_raw", &["null", "null", "null"]),
        parsed(
            "tag keys __proto__ and empty",
            r#"{"__proto__":{"a":1},"":""}"#,
            r#"{"__proto__":{"a":1},"":""}"#,
        ),
        parsed("tag keys in two cases", r#"{"Env":"a","env":"b"}"#, r#"{"Env":"a","env":"b"}"#),
        parsed("the same tag key twice", r#"{"a":"1","a":"2"}"#, r#"{"a":"1","a":"2"}"#),
        parsed(
            "tags with URLs and colons",
            r#""u": "https://a/b?c=d:e""#,
            r#"{"u": "https://a/b?c=d:e"}"#,
        ),
        parsed("numbers and null in tags", r#"{"a":1E400,"b":null}"#, r#"{"a":1E400,"b":null}"#),
        parsed("100 KB of a tag", &long, &format!("{{{long}}}")),
        parsed("10,000 tags", &many.join(","), &format!("{{{}}}", many.join(","))),
        parsed("tags nested 50,000 deep", &deep, &deep),
        raw("a line end in a tag", "{\"a\": \"b\nc\"}"),
        raw("tags cut in a value", r#""env": "pr"#),
        raw("tags cut behind a colon", r#""env": "#),
        raw("tags cut behind a comma", r#""env": "prod","#),
        raw("tags cut before the brace", r#"{"env":"prod""#),
        raw("tags that are two objects", r#"{"a":"b"},{"c":"d"}"#),
        raw("tags that would be two objects in braces", r#""a":"b"},{"c":"d""#),
        raw("tags that are an array", r#"["a"]"#),
        raw("tags that are a string", r#""a""#),
        raw("tags that are no JSON", "env:prod;owner:me"),
        raw("tags that are a formula", "=cmd|'/c calc'!A1"),
        raw("tags NULL", "NULL"),
        raw("tags in single quotes", "{'a':'b'}"),
        read(
            "bare tags of one key",
            around(&header, "07/02/2025,2,EUR,{\"env\":\"prod\"}"),
            3,
            "7",
        )
        .column("tags", &["null", "{\"env\":\"prod\"}", "null"]),
    ]
}

fn texts() -> Vec<Case> {
    let kept = |name, text: &str| {
        read(name, meter(&format!("\"{text}\"")), 3, "7")
            .column("meter_name", &["null", text, "null"])
    };
    let column = |name, header: &str, values: [&str; 2], column, expected: [&str; 2]| {
        let rows = values.map(|value| format!("07/01/2025,1,EUR,{value}"));
        read(name, file(&format!("{SHORT},{header}"), &[&rows[0], &rows[1]]), 2, "2")
            .column(column, &expected)
    };
    let zeros = "00000000-0000-0000-0000-000000000000";
    vec![
        column(
            "ids in two cases stay as written",
            "ResourceId",
            ["/subscriptions/A", "/SUBSCRIPTIONS/a"],
            "resource_id",
            ["/subscriptions/A", "/SUBSCRIPTIONS/a"],
        ),
        column(
            "no subscription",
            "SubscriptionId",
            ["", "\"\""],
            "subscription_id",
            ["null", "null"],
        ),
        column(
            "the zero subscription is none",
            "SubscriptionId",
            [zeros, "s"],
            "subscription_id",
            ["null", "s"],
        ),
        column("the zero meter is none", "MeterId", [zeros, "m"], "meter_id", ["null", "m"]),
        column("zeros elsewhere are text", "ProductId", [zeros, "p"], "product_id", [zeros, "p"]),
        column(
            "department -2 is none",
            "InvoiceSectionId",
            ["-2", "2"],
            "department_id",
            ["null", "2"],
        ),
        column("account -2 is none", "AccountId", ["-2", "2"], "account_id", ["null", "2"]),
        column("part number -2 is none", "PartNumber", ["-2", "2"], "part_number", ["null", "2"]),
        column("-2 elsewhere is text", "CostCenter", ["-2", "2"], "cost_center", ["-2", "2"]),
        column(
            "Unassigned is text",
            "InvoiceSectionName",
            ["Unassigned", "NA"],
            "department_name",
            ["Unassigned", "NA"],
        ),
        column(
            "numbers in text keep their zeros",
            "CostCenter",
            ["007", "1E5"],
            "cost_center",
            ["007", "1E5"],
        ),
        kept("NULL in text is text", "NULL"),
        kept("None in text is text", "None"),
        kept("a formula", "=cmd|'/c calc'!A1"),
        kept("a formula with plus", "+1+1"),
        kept("a formula with minus", "-1+1"),
        kept("a formula with at", "@SUM(A1)"),
        kept("a formula behind a tab", "\t=1"),
        kept("a formula behind a carriage return", "\r=1"),
        kept("a path", "../../etc/passwd"),
        kept("a statement", "'; DROP TABLE costs; --"),
    ]
}

fn amounts() -> Vec<Case> {
    let quantity = format!("{SHORT},Quantity");
    let many: Vec<String> = (0..500).map(|_| "07/01/2025,0.1,EUR".to_owned()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        read("negative rows", file(SHORT, &["07/01/2025,-5,EUR", "07/01/2025,2,EUR"]), 2, "-3"),
        read(
            "rows of zero are kept",
            file(SHORT, &["07/01/2025,0,EUR", "07/01/2025,0.00,EUR", "07/01/2025,-0,EUR"]),
            3,
            "0",
        )
        .column("cost", &["0", "0", "0"]),
        read("a tenth 500 times", file(SHORT, &many), 500, "50"),
        read(
            "a large and a small amount",
            file(
                SHORT,
                &["07/01/2025,99999999999999,EUR", "07/01/2025,0.000000000000000000000001,EUR"],
            ),
            2,
            "99999999999999.000000000000000000000001",
        ),
        read(
            "28 digits cancel out",
            file(
                SHORT,
                &[
                    "07/01/2025,0.2618755954811488071493712087,EUR",
                    "07/01/2025,-0.2618755954811488071493712087,EUR",
                ],
            ),
            2,
            "0",
        ),
        read("no cost", around(SHORT, "07/02/2025,,EUR"), 2, "5").quarantined(&[(2, "missing")]),
        read("a blank cost", around(SHORT, "07/02/2025,  ,EUR"), 2, "5")
            .quarantined(&[(2, "missing")]),
        read("an optional number may be missing", around(&quantity, "07/02/2025,2,EUR,3"), 3, "7")
            .column("quantity", &["null", "3", "null"]),
        read("an optional number that is none", around(&quantity, "07/02/2025,2,EUR,NaN"), 2, "5")
            .quarantined(&[(2, "number-form")]),
        read("a decimal comma", around(SHORT, "07/02/2025,\"2,5\",EUR"), 2, "5")
            .quarantined(&[(2, "number-form")]),
        read("a bare decimal comma", around(SHORT, "07/02/2025,2,5,EUR"), 2, "5")
            .quarantined(&[(2, "field-count")]),
        read(
            "every fault of a row but the first is behind it",
            file(METER, &["x,y,,", "07/01/2025,y,,", "07/01/2025,1,,"]),
            0,
            "0",
        )
        .quarantined(&[(1, "date"), (2, "number-form"), (3, "missing")]),
    ]
}
