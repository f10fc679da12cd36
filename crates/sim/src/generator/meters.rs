//! The price list: services with their meters. Names follow Azure's style; prices are invented.

/// How a meter is sold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pricing {
    /// At the negotiated list price.
    OnDemand,
    /// At a Spot price, below the list price that UnitPrice keeps showing.
    Spot,
    /// By another publisher through the Marketplace: no meter names, no unit price.
    Marketplace,
}

/// Something that is measured and priced.
pub(super) struct Meter {
    pub(super) category: &'static str,
    pub(super) sub_category: &'static str,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Price per unit in billionths of the billing currency, before the region's surcharge.
    pub(super) price_billionths: u64,
    /// The largest quantity of one row, in thousandths of a unit.
    pub(super) most_thousandths: u64,
    pub(super) pricing: Pricing,
}

/// A kind of resource and the meters it runs up.
pub(super) struct Service {
    /// ConsumedService.
    pub(super) namespace: &'static str,
    /// Resource type path under the namespace.
    pub(super) resource_type: &'static str,
    /// Start of resource names.
    pub(super) prefix: &'static str,
    pub(super) family: &'static str,
    /// AdditionalInfo, a JSON object with its braces.
    pub(super) additional_info: &'static str,
    pub(super) meters: &'static [Meter],
}

/// A region: how resources spell it, its normalised name, its billing name, its surcharge in thousandths.
pub(super) struct Region {
    pub(super) spelled: &'static str,
    pub(super) normalized: &'static str,
    pub(super) billed: &'static str,
    pub(super) surcharge_thousandths: u64,
}

pub(super) const REGIONS: &[Region] = &[
    region("EUWest", "westeurope", "EU West", 0),
    region("westeurope", "westeurope", "EU West", 0),
    region("DE West Central", "germanywestcentral", "DE West Central", 37),
    region("CH North", "switzerlandnorth", "CH North", 113),
    region("US East 2", "eastus2", "US East 2", 7),
    region("northeurope", "northeurope", "EU North", 11),
];

const fn region(
    spelled: &'static str,
    normalized: &'static str,
    billed: &'static str,
    surcharge_thousandths: u64,
) -> Region {
    Region { spelled, normalized, billed, surcharge_thousandths }
}

const fn meter(
    names: [&'static str; 3],
    unit: &'static str,
    price_billionths: u64,
    most_thousandths: u64,
    pricing: Pricing,
) -> Meter {
    let [category, sub_category, name] = names;
    Meter { category, sub_category, name, unit, price_billionths, most_thousandths, pricing }
}

use Pricing::{Marketplace, OnDemand, Spot};

pub(super) const SERVICES: &[Service] = &[
    Service {
        namespace: "Microsoft.Compute",
        resource_type: "virtualMachines",
        prefix: "vm",
        family: "Compute",
        additional_info: r#"{"UsageType":"ComputeHR","ImageType":"Canonical","ServiceType":"Standard_D4s_v5","VMName":null,"VMProperties":"","VCPUs":4,"ConsumedQuantity":1.0}"#,
        meters: &[
            meter(
                ["Virtual Machines", "Dsv5 Series", "D4s v5"],
                "1 Hour",
                230_000_000,
                24_000,
                OnDemand,
            ),
            meter(
                ["Bandwidth", "Rtn Preference: MGN", "Standard Data Transfer Out"],
                "1 GB",
                79_481_337,
                90_000,
                OnDemand,
            ),
            meter(
                ["Virtual Network", "Peering", "Intra-Region Ingress"],
                "1 GB",
                9_612_004,
                40_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "microsoft.compute",
        resource_type: "virtualMachines",
        prefix: "vmspot",
        family: "Compute",
        additional_info: r#"{"UsageType":"ComputeHR","ImageType":"Windows Server BYOL","ServiceType":"Standard_E8s_v5","AHB":"True","VCPUs":8}"#,
        meters: &[
            meter(
                ["Virtual Machines", "Esv5 Series", "E8s v5 Spot"],
                "1 Hour",
                301_557_219,
                24_000,
                Spot,
            ),
            meter(
                ["Virtual Machines Licenses", "Windows Server", "8 vCPU VM License"],
                "1 Hour",
                0,
                24_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "Microsoft.Compute",
        resource_type: "disks",
        prefix: "disk",
        family: "Storage",
        additional_info: r#"{"ConsumedQuantity":0.0333333333,"ServiceType":"PremiumSSD"}"#,
        meters: &[
            meter(
                ["Storage", "Premium SSD Managed Disks", "P10 LRS Disk"],
                "1/Month",
                19_710_000_000,
                34,
                OnDemand,
            ),
            meter(
                ["Storage", "Standard SSD Managed Disks", "E10 LRS Disk Operations"],
                "10K",
                1_903_117,
                50_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "Microsoft.Storage",
        resource_type: "storageAccounts",
        prefix: "st",
        family: "Storage",
        additional_info: "",
        meters: &[
            meter(
                ["Storage", "Tiered Block Blob", "Hot LRS Data Stored"],
                "1 GB/Month",
                18_405_566,
                70_000,
                OnDemand,
            ),
            meter(
                ["Storage", "Tiered Block Blob", "Hot LRS Write Operations"],
                "10K",
                50_116_223,
                3_000,
                OnDemand,
            ),
            meter(
                ["Storage", "Tiered Block Blob", "Hot Read Operations"],
                "10K",
                4_003_911,
                9_000,
                OnDemand,
            ),
            meter(
                ["Storage", "Files v2", "LRS Data Stored"],
                "1 GB/Month",
                55_318_007,
                5_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "Microsoft.Sql",
        resource_type: "servers/sql-main/databases",
        prefix: "sqldb",
        family: "Databases",
        additional_info: r#"{"vCores":4,"ServiceType":"GP_Gen5_4","AHB":null,"Nested":"{\"tier\":\"GeneralPurpose\",\"zone\":[1,2]}"}"#,
        meters: &[
            meter(
                ["SQL Database", "Single/Elastic Pool General Purpose - Compute Gen5", "vCore"],
                "1 Hour",
                252_216_900,
                96_000,
                OnDemand,
            ),
            meter(
                [
                    "SQL Database",
                    "Single/Elastic Pool General Purpose - Storage",
                    "General Purpose Data Stored",
                ],
                "1 GB/Month",
                136_850_000,
                17_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "microsoft.web",
        resource_type: "serverFarms",
        prefix: "plan",
        family: "Compute",
        additional_info: "{\n  \"Plan\": \"P1v3\",\n  \"Instances\": 2\n}",
        meters: &[meter(
            ["Azure App Service", "Premium v3 Plan", "P1 v3 App"],
            "1 Hour",
            113_400_000,
            48_000,
            OnDemand,
        )],
    },
    Service {
        namespace: "Microsoft.ContainerService",
        resource_type: "managedClusters",
        prefix: "aks",
        family: "Containers",
        additional_info: r#"{"UsageType":"ClusterHR","Pool":"agentpool, system"}"#,
        meters: &[
            meter(
                ["Azure Kubernetes Service", "", "Standard Uptime SLA"],
                "1 Hour",
                96_580_000,
                24_000,
                OnDemand,
            ),
            meter(
                ["Load Balancer", "Standard", "Standard Data Processed"],
                "1 GB",
                4_829_771,
                160_000,
                OnDemand,
            ),
        ],
    },
    Service {
        namespace: "Microsoft.KeyVault",
        resource_type: "vaults",
        prefix: "kv",
        family: "Security",
        additional_info: "",
        meters: &[meter(["Key Vault", "", "Operations"], "10K", 28_974_311, 1_200, OnDemand)],
    },
    Service {
        namespace: "microsoft.operationalinsights",
        resource_type: "workspaces",
        prefix: "log",
        family: "Management and Governance",
        additional_info: "",
        meters: &[meter(
            ["Log Analytics", "", "Pay-as-you-go Data Ingestion"],
            "1 GB",
            2_619_113_307,
            21_000,
            OnDemand,
        )],
    },
    Service {
        namespace: "Microsoft.Web",
        resource_type: "sites",
        prefix: "func",
        family: "Compute",
        additional_info: "",
        meters: &[
            meter(
                ["Functions", "", "Standard Execution Time"],
                "1 GB Second",
                15_453,
                900_000,
                OnDemand,
            ),
            meter(["Functions", "", "Standard Total Executions"], "10", 1_932, 400_000, OnDemand),
        ],
    },
    Service {
        namespace: "Microsoft.SaaS",
        resource_type: "resources",
        prefix: "saas",
        family: "Compute",
        additional_info: "",
        meters: &[meter(["", "", "Ingested events"], "1", 41_500_000, 30_000, Marketplace)],
    },
];
