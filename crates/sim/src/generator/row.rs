//! One row of the file: the 57 columns of the EA cost and usage data set 2024-08-01 in their documented order, and a
//! fast way to write a row whose text mostly stays the same.
//!
//! Source: the EA pages of `cost-management-billing/dataset-schema` in the Azure documentation.

use super::calendar::DayText;
use super::decimal::Decimal;

macro_rules! columns {
    ($($column:ident = $name:literal),* $(,)?) => {
        /// A column of the data set.
        #[expect(dead_code, reason = "columns that are always empty or filled by a template are listed to keep the order")]
        #[derive(Clone, Copy)]
        pub(super) enum Column { $($column),* }

        /// The column names, in the order of the file.
        pub const COLUMNS: &[&str] = &[$($name),*];
    };
}

columns! {
    InvoiceSectionName = "InvoiceSectionName",
    AccountName = "AccountName",
    AccountOwnerId = "AccountOwnerId",
    SubscriptionId = "SubscriptionId",
    SubscriptionName = "SubscriptionName",
    ResourceGroup = "ResourceGroup",
    ResourceLocation = "ResourceLocation",
    Date = "Date",
    ProductName = "ProductName",
    MeterCategory = "MeterCategory",
    MeterSubCategory = "MeterSubCategory",
    MeterId = "MeterId",
    MeterName = "MeterName",
    MeterRegion = "MeterRegion",
    UnitOfMeasure = "UnitOfMeasure",
    Quantity = "Quantity",
    EffectivePrice = "EffectivePrice",
    CostInBillingCurrency = "CostInBillingCurrency",
    CostCenter = "CostCenter",
    ConsumedService = "ConsumedService",
    ResourceId = "ResourceId",
    Tags = "Tags",
    OfferId = "OfferId",
    AdditionalInfo = "AdditionalInfo",
    ServiceInfo1 = "ServiceInfo1",
    ServiceInfo2 = "ServiceInfo2",
    ResourceName = "ResourceName",
    ReservationId = "ReservationId",
    ReservationName = "ReservationName",
    UnitPrice = "UnitPrice",
    ProductOrderId = "ProductOrderId",
    ProductOrderName = "ProductOrderName",
    Term = "Term",
    PublisherType = "PublisherType",
    PublisherName = "PublisherName",
    ChargeType = "ChargeType",
    Frequency = "Frequency",
    PricingModel = "PricingModel",
    AvailabilityZone = "AvailabilityZone",
    BillingAccountId = "BillingAccountId",
    BillingAccountName = "BillingAccountName",
    BillingCurrencyCode = "BillingCurrencyCode",
    BillingPeriodStartDate = "BillingPeriodStartDate",
    BillingPeriodEndDate = "BillingPeriodEndDate",
    BillingProfileId = "BillingProfileId",
    BillingProfileName = "BillingProfileName",
    InvoiceSectionId = "InvoiceSectionId",
    IsAzureCreditEligible = "IsAzureCreditEligible",
    PartNumber = "PartNumber",
    PayGPrice = "PayGPrice",
    PlanName = "PlanName",
    ServiceFamily = "ServiceFamily",
    CostAllocationRuleName = "CostAllocationRuleName",
    BenefitId = "benefitId",
    BenefitName = "benefitName",
    AccountId = "AccountId",
    ResourceLocationNormalized = "ResourceLocationNormalized",
}

/// Returns the first bytes of every file: byte order mark and header line.
pub(super) fn file_head() -> Vec<u8> {
    let mut head = "\u{feff}".as_bytes().to_vec();
    head.extend_from_slice(COLUMNS.join(",").as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

/// The fields of a row that do not depend on day, quantity or money.
#[derive(Clone)]
pub(super) struct Row {
    fields: Vec<String>,
}

impl Row {
    /// Returns a row of empty fields.
    pub(super) fn new() -> Self {
        Self { fields: vec![String::new(); COLUMNS.len()] }
    }

    /// Sets one field.
    pub(super) fn set(&mut self, column: Column, value: impl Into<String>) -> &mut Self {
        self.fields[column as usize] = value.into();
        self
    }

    fn range(&self, first: Column, last: Column, out: &mut Vec<u8>) {
        for (number, field) in self.fields[first as usize..=last as usize].iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_field(field, out);
        }
    }

    fn field(&self, column: Column, out: &mut Vec<u8>) {
        write_field(&self.fields[column as usize], out);
    }
}

/// Appends a field, quoted only when RFC 4180 needs it.
fn write_field(field: &str, out: &mut Vec<u8>) {
    let needs_quotes = field.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'));
    if !needs_quotes {
        out.extend_from_slice(field.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in field.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Returns a field as it stands in the file.
pub(super) fn rendered_field(field: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_field(field, &mut out);
    out
}

/// How the resource group and resource id of a row are spelled; Azure is not consistent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As the resource was created.
    Created,
    /// Group name in capitals.
    Capitals,
}

/// The money side of a row, in billing currency.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    /// Unrounded quantity; the file shows 8 fraction digits.
    pub(super) quantity: Decimal,
    /// Price per unit.
    pub(super) effective_price: Decimal,
    /// The exact cost.
    pub(super) cost: Decimal,
    /// Whether the cost keeps its trailing zeros.
    pub(super) padded: bool,
}

impl Charge {
    /// Returns the charge of a quantity at a price.
    pub(super) fn of(quantity: Decimal, effective_price: Decimal) -> Self {
        Self { quantity, effective_price, cost: quantity.times(effective_price), padded: false }
    }

    /// Returns the same quantity at no cost, as actual cost shows usage covered by a commitment.
    pub(super) fn free(self) -> Self {
        Self { effective_price: Decimal::ZERO, cost: Decimal::ZERO, padded: false, ..self }
    }
}

/// A row rendered in advance, with gaps for what changes from day to day.
///
/// | gap | columns |
/// |---|---|
/// | department | InvoiceSectionName, which may be renamed in the middle of a month |
/// | spelling | ResourceGroup, ResourceId |
/// | day | Date, BillingPeriodStartDate, BillingPeriodEndDate |
/// | charge | Quantity, EffectivePrice, CostInBillingCurrency |
pub(super) struct Template {
    text: Box<[u8]>,
    ends: [u32; SEGMENTS],
}

/// Constant stretches between the gaps, in file order, the two spellings of a gap side by side.
const SEGMENTS: usize = 10;

impl Template {
    /// Renders the constant parts of a row.
    pub(super) fn new(row: &Row) -> Self {
        let mut builder = TemplateBuilder::default();
        builder.segment(|out| {
            comma_between(out, |out| row.range(Column::AccountName, Column::SubscriptionName, out))
        });
        builder.segment(|out| row.field(Column::ResourceGroup, out));
        builder.segment(|out| {
            write_field(&row.fields[Column::ResourceGroup as usize].to_uppercase(), out)
        });
        builder.segment(|out| comma_between(out, |out| row.field(Column::ResourceLocation, out)));
        builder.segment(|out| {
            comma_between(out, |out| row.range(Column::ProductName, Column::UnitOfMeasure, out))
        });
        builder.segment(|out| {
            comma_between(out, |out| row.range(Column::CostCenter, Column::ConsumedService, out))
        });
        builder.segment(|out| row.field(Column::ResourceId, out));
        builder.segment(|out| {
            write_field(&with_group_in_capitals(&row.fields[Column::ResourceId as usize]), out)
        });
        builder.segment(|out| {
            comma_between(out, |out| row.range(Column::Tags, Column::BillingCurrencyCode, out))
        });
        builder.segment(|out| {
            out.push(b',');
            row.range(Column::BillingProfileId, Column::ResourceLocationNormalized, out);
            out.extend_from_slice(b"\r\n");
        });
        builder.finish()
    }

    /// Appends the row. `department` is the rendered InvoiceSectionName field.
    pub(super) fn write(
        &self,
        department: &[u8],
        day: &DayText,
        spelling: Spelling,
        charge: &Charge,
        out: &mut Vec<u8>,
    ) {
        let other = usize::from(spelling == Spelling::Capitals);
        out.extend_from_slice(department);
        out.extend_from_slice(self.segment(0));
        out.extend_from_slice(self.segment(1 + other));
        out.extend_from_slice(self.segment(3));
        out.extend_from_slice(day.date.as_bytes());
        out.extend_from_slice(self.segment(4));
        write_charge(charge, out);
        out.extend_from_slice(self.segment(5));
        out.extend_from_slice(self.segment(6 + other));
        out.extend_from_slice(self.segment(8));
        out.extend_from_slice(day.period.as_bytes());
        out.extend_from_slice(self.segment(9));
    }

    fn segment(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start as usize..self.ends[number] as usize]
    }
}

#[derive(Default)]
struct TemplateBuilder {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl TemplateBuilder {
    fn segment(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn finish(self) -> Template {
        let mut ends = [0; SEGMENTS];
        ends.copy_from_slice(&self.ends);
        Template { text: self.text.into_boxed_slice(), ends }
    }
}

fn comma_between(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b',');
    write(out);
    out.push(b',');
}

fn write_charge(charge: &Charge, out: &mut Vec<u8>) {
    charge.quantity.rounded(8).write_trimmed(out);
    out.push(b',');
    charge.effective_price.write_trimmed(out);
    out.push(b',');
    if charge.padded {
        charge.cost.write_padded(out);
    } else {
        charge.cost.write_trimmed(out);
    }
}

/// `/subscriptions/x/resourceGroups/rg-app/providers/y` with `RG-APP` and `resourcegroups`, as some services report it.
fn with_group_in_capitals(resource_id: &str) -> String {
    let mut parts: Vec<String> = resource_id.split('/').map(str::to_owned).collect();
    if parts.len() > 4 && parts[3] == "resourceGroups" {
        "resourcegroups".clone_into(&mut parts[3]);
        parts[4] = parts[4].to_uppercase();
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn fields_are_quoted_only_when_needed() {
        let check = |field: &str, expected: &str| {
            let mut out = Vec::new();
            write_field(field, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("plain", "plain");
        check("", "");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("two\nlines", "\"two\nlines\"");
    }

    #[test]
    fn a_template_fills_its_gaps_in_column_order() {
        let mut row = Row::new();
        for (number, field) in row.fields.iter_mut().enumerate() {
            *field = format!("c{number}");
        }
        let day = DayText::of(NaiveDate::from_ymd_opt(2025, 7, 2).unwrap());
        let charge = Charge::of(Decimal::new(123_456_789_012, 10), Decimal::new(5, 1));
        let mut out = Vec::new();
        Template::new(&row).write(b"dep", &day, Spelling::Capitals, &charge, &mut out);
        let line = String::from_utf8(out).unwrap();
        let mut expected: Vec<String> = (0..57).map(|number| format!("c{number}")).collect();
        let gaps = [
            (0, "dep"),
            (5, "C5"),
            (7, "07/02/2025"),
            (15, "12.3456789"),
            (16, "0.5"),
            (17, "6.1728394506"),
        ];
        for (column, text) in gaps.into_iter().chain([(42, "07/01/2025"), (43, "07/31/2025")]) {
            expected[column] = text.to_owned();
        }
        assert_eq!(line, expected.join(",") + "\r\n");
    }
}
