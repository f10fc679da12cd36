//! The resources that run up on-demand, Spot and Marketplace usage, one line per resource and meter.

use super::config::EnrollmentConfig;
use super::decimal::Decimal;
use super::meters::{Meter, Pricing, REGIONS, Region, SERVICES, Service};
use super::organization::Organization;
use super::random::{Random, to_index};
use super::row::{Column, Row, Template};

/// A resource and meter that shows up in the report day after day.
pub(super) struct Line {
    /// The paying subscription, an index into the organization.
    pub(super) subscription: usize,
    /// Price per unit in billing currency.
    pub(super) price: Decimal,
    /// Largest mantissa of the unrounded quantity.
    pub(super) most: u64,
    /// Fraction digits of the unrounded quantity.
    pub(super) quantity_scale: u32,
    /// The constant text.
    pub(super) template: Template,
}

/// Prices have twelve fraction digits before trailing zeros are cut.
const PRICE_SCALE: u32 = 12;
/// Azure's producer computes with 96 bits; costs stay below that.
const LARGEST_MANTISSA: u128 = 1 << 96;
/// With these prices, costs have up to 28 fraction digits.
const MOST_QUANTITY_SCALE: u32 = 16;
/// Above this many lines the rows of a day repeat resources, so that the templates stay within some 50 MB.
const MOST_LINES: u64 = 60_000;
/// Resources that follow each other in one subscription and resource group, in large data sets.
const NEIGHBOURS: u64 = 6;
/// Below this many lines every resource is in another subscription, so that all of them have rows.
const FEW_LINES: usize = 1_000;

/// Invents the lines; their number grows with the rows of a day.
pub(super) fn invent_lines(config: &EnrollmentConfig, organization: &Organization) -> Vec<Line> {
    let wanted = to_index((config.rows_per_month / 31 * 7 / 8).clamp(64, MOST_LINES));
    let mut lines = Vec::with_capacity(wanted);
    let neighbours = if wanted < FEW_LINES { 1 } else { NEIGHBOURS };
    let mut number = 0;
    while lines.len() < wanted {
        let resource = Resource::invent(config, organization, number, neighbours);
        lines.extend(
            resource.service.meters.iter().map(|meter| resource.line(config, organization, meter)),
        );
        number += 1;
    }
    lines.truncate(wanted);
    lines
}

/// Sets what all rows of the enrollment have in common.
pub(super) fn enrollment_row(config: &EnrollmentConfig) -> Row {
    let mut row = Row::new();
    row.set(Column::BillingAccountId, config.enrollment_number.as_str())
        .set(Column::BillingAccountName, config.enrollment_name.as_str())
        .set(Column::BillingProfileId, config.enrollment_number.as_str())
        .set(Column::BillingProfileName, config.enrollment_name.as_str())
        .set(Column::BillingCurrencyCode, config.currency.as_str())
        .set(Column::ServiceFamily, "Compute")
        .set(Column::PublisherType, "Azure")
        .set(Column::IsAzureCreditEligible, "True");
    row
}

struct Resource {
    number: u64,
    subscription: usize,
    service: &'static Service,
    region: &'static Region,
    group: String,
    name: String,
    tags: String,
    allocation_rule: &'static str,
}

impl Resource {
    fn invent(
        config: &EnrollmentConfig,
        organization: &Organization,
        number: u64,
        neighbours: u64,
    ) -> Self {
        let block_number = number / neighbours;
        let mut block = Random::at(config.seed, &[3, block_number]);
        let subscription = to_index(block_number) % organization.subscriptions.len();
        let region = block.pick(REGIONS);
        let application = *block.pick(APPLICATIONS);
        let mut random = Random::at(config.seed, &[4, number]);
        let service = &SERVICES[to_index(number) % SERVICES.len()];
        let suffix = random.next() & 0xffff;
        let name = format!("{}-{application}-{suffix:04x}-{number:06}", service.prefix);
        Self {
            number,
            subscription,
            service,
            region,
            group: format!("rg-{application}-{:02}", block.below(40)),
            tags: tags(&mut random, &name),
            name,
            allocation_rule: if number % 37 == 5 { "Shared platform, by headcount" } else { "" },
        }
    }

    fn line(&self, config: &EnrollmentConfig, organization: &Organization, meter: &Meter) -> Line {
        let thousandths = 1000 + self.region.surcharge_thousandths;
        let list_price = meter.price_billionths * thousandths;
        let price = match meter.pricing {
            Pricing::Spot => list_price * 3 / 10,
            // Some meters are cheaper in higher tiers, so their price is a blend.
            Pricing::OnDemand if self.number % 16 == 3 => list_price * 97 / 100,
            _ => list_price,
        };
        let quantity_scale = quantity_scale(meter.most_thousandths, price);
        let mut row = enrollment_row(config);
        organization.describe(self.subscription, &mut row);
        self.describe(organization, &mut row);
        self.describe_meter(config.seed, meter, list_price, &mut row);
        Line {
            subscription: self.subscription,
            price: Decimal::new(i128::from(price), PRICE_SCALE),
            most: meter.most_thousandths * 10u64.pow(quantity_scale - 3),
            quantity_scale,
            template: Template::new(&row),
        }
    }

    fn describe(&self, organization: &Organization, row: &mut Row) {
        let resource_id = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{}/{}/{}",
            organization.subscriptions[self.subscription].id,
            self.group,
            self.service.namespace,
            self.service.resource_type,
            self.name
        );
        row.set(Column::ResourceGroup, self.group.as_str())
            .set(Column::ResourceLocation, self.region.spelled)
            .set(Column::ResourceLocationNormalized, self.region.normalized)
            .set(Column::ConsumedService, self.service.namespace)
            .set(Column::ResourceId, resource_id)
            .set(Column::ResourceName, self.name.as_str())
            .set(Column::Tags, self.tags.as_str())
            .set(Column::OfferId, "MS-AZR-0017P")
            .set(Column::AdditionalInfo, self.service.additional_info)
            .set(Column::ServiceFamily, self.service.family)
            .set(Column::ChargeType, "Usage")
            .set(Column::Frequency, "UsageBased")
            .set(Column::CostAllocationRuleName, self.allocation_rule);
    }

    fn describe_meter(&self, seed: u64, meter: &Meter, list_price: u64, row: &mut Row) {
        row.set(Column::UnitOfMeasure, meter.unit);
        if meter.pricing == Pricing::Marketplace {
            row.set(Column::ProductName, format!("Fabrikam Insight\u{a0}Cloud - {}", meter.name))
                .set(Column::PublisherType, "Marketplace")
                .set(Column::PublisherName, "Fabrikam, Inc.")
                .set(Column::PlanName, "standard-monthly")
                .set(Column::PricingModel, "OnDemand")
                .set(Column::IsAzureCreditEligible, "False");
            return;
        }
        let mut random =
            Random::at(seed, &[5, meter.price_billionths, self.region.surcharge_thousandths]);
        let list_price = Decimal::new(i128::from(list_price), PRICE_SCALE).to_text();
        let product = [meter.category, meter.sub_category, meter.name, self.region.billed];
        let product: Vec<&str> = product.into_iter().filter(|part| !part.is_empty()).collect();
        row.set(Column::ProductName, product.join(" - "))
            .set(Column::MeterCategory, meter.category)
            .set(Column::MeterSubCategory, meter.sub_category)
            .set(Column::MeterName, meter.name)
            .set(Column::MeterRegion, self.region.billed)
            .set(Column::MeterId, random.guid())
            .set(
                Column::PartNumber,
                format!(
                    "AA{}-{:05}",
                    ["A", "B", "D"][to_index(random.below(3))],
                    random.below(99_999)
                ),
            )
            .set(Column::UnitPrice, list_price.as_str())
            .set(Column::PayGPrice, list_price)
            .set(
                Column::PricingModel,
                if meter.pricing == Pricing::Spot { "Spot" } else { "OnDemand" },
            );
    }
}

/// Returns how many fraction digits a quantity can have so that the largest cost still fits into 96 bits.
fn quantity_scale(most_thousandths: u64, price_mantissa: u64) -> u32 {
    let fits = |scale: u32| {
        let most = u128::from(most_thousandths) * 10u128.pow(scale - 3);
        most < 1 << 63 && most * u128::from(price_mantissa) < LARGEST_MANTISSA
    };
    (3..=MOST_QUANTITY_SCALE).rev().find(|scale| fits(*scale)).unwrap_or(3)
}

const APPLICATIONS: &[&str] =
    &["shop", "crm", "billing", "etl", "portal", "search", "iot", "bi", "hub", "sso"];

/// Tags as EA files have them: JSON members without the braces around them.
fn tags(random: &mut Random, name: &str) -> String {
    let number = random.below(900) + 100;
    match random.below(8) {
        0 | 1 => String::new(),
        2 => format!(r#""env": "prod","owner": "Müller, Jörg","ticket": "OPS-{number}""#),
        3 => format!(
            r#"" project": "alpha {number}","wiki": "https://wiki.contoso.example/p?id={number}&a=1,2#top""#
        ),
        4 => format!(
            r#""note": "say \"hello\", then stop","env": "test","Env": "TEST","created": "2025-02-{:02}""#,
            number % 28 + 1
        ),
        5 => format!("\"env\": \"dev\",\n\"städte\": \"東京, Kraków\",\"name\": \"{name}\""),
        6 => format!(
            r#""aks-managed-poolName": "agentpool","aks-managed-operationID": "{}","orchestrator": "Kubernetes:1.30.{}""#,
            random.guid(),
            number % 10
        ),
        _ => format!(
            r#""env": "prod","application": "{name}","cost-center": "{number}","backup": """#
        ),
    }
}
