//! Names of columns, their order, and what is missing.

use super::{Case, SHORT, file, read, refused};

pub(super) fn cases() -> Vec<Case> {
    [order_and_names(), pairs(), missing(), unknown(), sizes()].into_iter().flatten().collect()
}

/// One row under the three required headers, in this order.
fn named(date: &str, cost: &str, currency: &str) -> Vec<u8> {
    file(&format!("{date},{cost},{currency}"), &["07/01/2025,1.5,EUR"])
}

fn order_and_names() -> Vec<Case> {
    let sound = |name, bytes: Vec<u8>| {
        read(name, bytes, 1, "1.5")
            .column("charge_date", &["2025-07-01"])
            .column("billing_currency", &["EUR"])
            .column("extra", &["null"])
    };
    vec![
        sound("columns in another order", file("Currency,Date,Cost", &["EUR,07/01/2025,1.5"])),
        sound("columns in a third order", file("Cost,Currency,Date", &["1.5,EUR,07/01/2025"])),
        sound("upper case", named("DATE", "COSTINBILLINGCURRENCY", "BILLINGCURRENCY")),
        sound("lower case", named("date", "costinbillingcurrency", "billingcurrencycode")),
        sound("camel case", named("usageDateTime", "preTaxCost", "currency")),
        sound("snake case", named("usage_date", "pre_tax_cost", "billing_currency")),
        sound(
            "blanks and dashes in names",
            named("Usage-Date", "Pre Tax Cost", "Billing Currency"),
        ),
        sound("names of the retired usage API", named("UsageDate", "ExtendedCost", "CurrencyCode")),
        sound("canonical names", named("charge_date", "cost", "billing_currency")),
        sound("German", named("Datum (Date)", "Kosten (Cost)", "W\u{e4}hrung (Currency)")),
        sound(
            "Spanish",
            named("Fecha (Date)", "Coste (CostInBillingCurrency)", "Moneda (BillingCurrencyCode)"),
        ),
        sound("mixed languages", named("Datum (UsageDateTime)", "PreTaxCost", "Moneda (Currency)")),
        sound("names in nested parentheses", named("Datum (UTC) (Date)", "Cost", "Currency")),
        sound("blanks around names", named(" Date  ", "Cost ", " Currency")),
        sound("no-break spaces around names", named("\u{a0}Date", "Cost\u{a0}", "Currency\u{a0}")),
        sound("tabs around names", named("\tDate", "Cost\t", "Currency\t")),
        sound("quoted names", named("\"Date\"", "\"Cost\"", "\"Currency\"")),
        sound("quoted names with blanks", named("\" Date \"", "\"Cost \"", "\" Currency\"")),
    ]
}

fn pairs() -> Vec<Case> {
    let pair = |name, header: &str, fields: &str, column, cell: &str, extra: &str| {
        read(
            name,
            file(&format!("{SHORT},{header}"), &[&format!("07/01/2025,1,EUR,{fields}")]),
            1,
            "1",
        )
        .column(column, &[cell])
        .column("extra", &[extra])
    };
    let both = |name, header: &str| {
        refused(name, file(header, &["07/01/2025,1,EUR,2"]), "both mean column")
    };
    vec![
        pair(
            "SubscriptionGuid beside SubscriptionId",
            "SubscriptionId,SubscriptionGuid",
            "42,g",
            "subscription_id",
            "g",
            r#"{"SubscriptionId":"42"}"#,
        ),
        pair(
            "SubscriptionGuid before SubscriptionId",
            "SubscriptionGuid,SubscriptionId",
            "g,42",
            "subscription_id",
            "g",
            r#"{"SubscriptionId":"42"}"#,
        ),
        pair(
            "SubscriptionGuid beside a localised SubscriptionId",
            "Abonnement (SubscriptionId),subscriptionGuid",
            "42,g",
            "subscription_id",
            "g",
            r#"{"SubscriptionId":"42"}"#,
        ),
        pair(
            "location beside resourceLocation",
            "resourceLocation,location",
            "West,west",
            "resource_location",
            "West",
            "null",
        ),
        pair(
            "location is the normalised one",
            "location,resourceLocation",
            "west,West",
            "resource_location_normalized",
            "west",
            "null",
        ),
        pair(
            "ResourceLocation beside ResourceLocationNormalized",
            "ResourceLocation,ResourceLocationNormalized",
            "West,west",
            "resource_location_normalized",
            "west",
            "null",
        ),
        pair(
            "MeterId beside ResourceGuid",
            "ResourceGuid,MeterId",
            "g,m",
            "meter_id",
            "m",
            r#"{"ResourceGuid":"g"}"#,
        ),
        pair(
            "ResourceId beside InstanceName",
            "InstanceName,ResourceId",
            "i,r",
            "resource_id",
            "r",
            r#"{"InstanceName":"i"}"#,
        ),
        pair("location alone", "Location", "West", "resource_location", "West", "null"),
        pair(
            "ConsumedQuantity is no quantity",
            "ConsumedQuantity,Quantity",
            "3,4",
            "quantity",
            "4",
            "null",
        ),
        both("the same header twice", "Date,Cost,Currency,Date"),
        both("the same header in another case", "Date,Cost,Currency,COST"),
        both("the same header localised", "Date,Cost,Currency,Datum (Date)"),
        both("two headers of cost", "Date,Cost,Currency,PreTaxCost"),
        both("two headers of currency", "Date,Cost,Currency,BillingCurrencyCode"),
        both("two headers of an optional column", "Date,Cost,Currency,ResourceId,InstanceId"),
        both(
            "three headers of location",
            "Date,Cost,Currency,ResourceLocation,Location,ResourceLocationNormalized",
        ),
    ]
}

fn missing() -> Vec<Case> {
    let one_row = |header: &str| {
        let row = vec!["1"; header.matches(',').count() + 1].join(",");
        file(header, &[&row])
    };
    let lacks = |name, header: &str, error| refused(name, one_row(header), error);
    vec![
        lacks("no date", "Cost,Currency,MeterName", "required columns are missing: charge_date"),
        lacks("no cost column", "Date,Currency,MeterName", "required columns are missing: cost"),
        lacks(
            "no currency",
            "Date,Cost,MeterName",
            "required columns are missing: billing_currency",
        ),
        lacks("no required column", "MeterName,MeterId,Tags", "charge_date"),
        lacks(
            "cost in another currency only",
            "Date,CostInUsd,Currency",
            "required columns are missing: cost",
        ),
        lacks(
            "German without names in parentheses",
            "Datum,Kosten,W\u{e4}hrung",
            "no header of a cost file",
        ),
        lacks(
            "a FOCUS file without its billed cost",
            "BillingCurrency,ChargePeriodStart,EffectiveCost,Tags",
            "cost (header BilledCost)",
        ),
        refused(
            "data in the first line",
            "07/01/2025,1,EUR\n07/02/2025,2,EUR\n",
            "no header of a cost file",
        ),
        lacks("one column", "Cost", "no header of a cost file"),
        lacks("two columns", "Date,Cost", "no header of a cost file"),
        lacks("commas alone", ",,,", "no header of a cost file"),
        lacks("a zero-width space in Cost", "Date,Co\u{200b}st,Currency", ""),
        lacks(
            "a Cyrillic o in Cost",
            "Date,C\u{43e}st,Currency,MeterName",
            "required columns are missing: cost",
        ),
        lacks(
            "full-width letters",
            "Date,\u{ff23}ost,Currency,MeterName",
            "required columns are missing: cost",
        ),
        lacks(
            "a right-to-left override in Cost",
            "Date,\u{202e}tsoC,Currency,MeterName",
            "required columns are missing: cost",
        ),
        lacks(
            "NUL in Cost",
            "Date,Cost\0,Currency,MeterName",
            "required columns are missing: cost",
        ),
        refused("an unclosed quote in the header", "Date,\"Cost,Currency\n07/01/2025,1,EUR\n", ""),
        refused(
            "text after a closing quote in the header",
            "Date,\"Cost\"x,Currency\n07/01/2025,1,EUR\n",
            "no header of a cost file",
        ),
        read("the currency is given", file("Date,Cost,MeterId", &["07/01/2025,1,m"]), 1, "1")
            .given_currency("USD")
            .column("billing_currency", &["USD"]),
        read("the currency is given and in the file", file(SHORT, &["07/01/2025,1,EUR"]), 1, "1")
            .given_currency("USD")
            .column("billing_currency", &["EUR"]),
        read(
            "the file has a currency column, so none is filled in",
            file(SHORT, &["07/01/2025,1,"]),
            0,
            "0",
        )
        .given_currency("USD")
        .quarantined(&[(1, "missing")]),
    ]
}

fn unknown() -> Vec<Case> {
    let extra = |name, header: &str, field: &str, expected: &str| {
        let bytes = file(&format!("{SHORT},{header}"), &[&format!("07/01/2025,1,EUR,{field}")]);
        read(name, bytes, 1, "1").column("extra", &[expected])
    };
    let repeated = |name, header: &str, error| {
        refused(name, file(&format!("{SHORT},{header}"), &["07/01/2025,1,EUR,a,b"]), error)
    };
    vec![
        extra("an unknown column", "Owner", "me", r#"{"Owner":"me"}"#),
        extra("an unknown column without a value", "Owner", "", "null"),
        extra(
            "an unknown column, quoted",
            "\"Owner, \"\"x\"\"\"",
            "\"a \"\"b\"\", c\"",
            r#"{"Owner, \"x\"":"a \"b\", c"}"#,
        ),
        extra(
            "an unknown column with a line end in its name",
            "\"My\nnote\"",
            "a",
            r#"{"My\nnote":"a"}"#,
        ),
        extra(
            "an unknown column with controls",
            "a\u{1b}[1m",
            "\u{1b}",
            r#"{"a\u001b[1m":"\u001b"}"#,
        ),
        extra("an unknown number is text", "Discount", "NaN", r#"{"Discount":"NaN"}"#),
        extra("an unknown __proto__", "__proto__", "a", r#"{"__proto__":"a"}"#),
        extra("a formula for a name", "=1+1", "=2", r#"{"=1+1":"=2"}"#),
        extra(
            "a zero-width space in an optional name",
            "Meter\u{200b}Name",
            "a",
            "{\"Meter\u{200b}Name\":\"a\"}",
        ),
        extra("a second cost with a Cyrillic o", "C\u{43e}st", "9", "{\"C\u{43e}st\":\"9\"}"),
        extra("empty nameless columns", ",,", ",,", "null"),
        extra("nameless columns with a value", ",,", ",c,", r#"{"column_5":"c"}"#),
        extra(
            "a name that a nameless column would be given",
            "column_5,",
            "a,b",
            r#"{"column_5":"a","column_5_":"b"}"#,
        ),
        extra(
            "names that two nameless columns would be given",
            "column_6,,,column_5,column_6_",
            "a,b,c,d,e",
            r#"{"column_6":"a","column_5_":"b","column_6__":"c","column_5":"d","column_6_":"e"}"#,
        ),
        extra("unknown names in two cases", "Owner,owner", "a,b", r#"{"Owner":"a","owner":"b"}"#),
        repeated("an unknown header twice", "Owner,Owner", "two columns are named `Owner`"),
        repeated("an unknown header twice, localised", "Wer (Owner), Owner ", "named `Owner`"),
        repeated(
            "an unknown header twice, with controls",
            "a\u{1b},a\u{1b}",
            "two columns are named",
        ),
        repeated(
            "SubscriptionId twice beside SubscriptionGuid",
            "SubscriptionId,SubscriptionId,SubscriptionGuid",
            "two columns are named `SubscriptionId`",
        ),
        extra("a column named by blanks", "  ", "c", r#"{"column_4":"c"}"#),
        extra("a column named by two quotes", "\"\"", "c", r#"{"column_4":"c"}"#),
    ]
}

fn sizes() -> Vec<Case> {
    let long = "n".repeat(65_536);
    let names: Vec<String> = (0..20_000).map(|at| format!("c{at}")).collect();
    let fields = [",".repeat(19_999), "last".to_owned()].concat();
    vec![
        read(
            "a name of 64 KB",
            file(&format!("{SHORT},{long}"), &["07/01/2025,1,EUR,a", "07/02/2025,2,EUR,"]),
            2,
            "3",
        )
        .column("extra", &[&format!("{{\"{long}\":\"a\"}}"), "null"]),
        read(
            "20,000 columns",
            file(
                &format!("{SHORT},{}", names.join(",")),
                &[&format!("07/01/2025,1,EUR,{fields}"), "x"],
            ),
            1,
            "1",
        )
        .column("extra", &[r#"{"c19999":"last"}"#])
        .quarantined(&[(2, "field-count")]),
        read(
            "100,000 columns without a name",
            file(&format!("{SHORT}{}", ",".repeat(100_000)), &["07/01/2025,1,EUR"]),
            0,
            "0",
        )
        .quarantined(&[(1, "field-count")]),
        refused(
            "a header of more than 1 MiB",
            format!("{SHORT}{}\n", ",n".repeat(600_000)),
            "no header line ends within the first 1048576 bytes",
        ),
        refused(
            "a file of one line",
            "a".repeat(2_000_000),
            "no header line ends within the first 1048576 bytes",
        ),
    ]
}
