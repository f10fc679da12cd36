//! The headers of all generations of cost files, as they stand in the files.

/// Enrollment exports of 2019-10-01.
const EA_2019: &str = "\
    DepartmentName,AccountName,AccountOwnerId,SubscriptionGuid,SubscriptionName,ResourceGroup,\
    ResourceLocation,UsageDateTime,ProductName,MeterCategory,MeterSubcategory,MeterId,MeterName,\
    MeterRegion,UnitOfMeasure,UsageQuantity,ResourceRate,PreTaxCost,CostCenter,ConsumedService,\
    ResourceType,InstanceId,Tags,OfferId,AdditionalInfo,ServiceInfo1,ServiceInfo2";

/// Enrollment exports of 2020-01-01.
const EA_2020: &str = "\
    InvoiceSectionName,AccountName,AccountOwnerId,SubscriptionId,SubscriptionName,ResourceGroup,\
    ResourceLocation,Date,ProductName,MeterCategory,MeterSubCategory,MeterId,MeterName,\
    MeterRegion,UnitOfMeasure,Quantity,EffectivePrice,CostInBillingCurrency,CostCenter,\
    ConsumedService,ResourceId,Tags,OfferId,AdditionalInfo,ServiceInfo1,ServiceInfo2,\
    ResourceName,ReservationId,ReservationName,UnitPrice,ProductOrderId,ProductOrderName,Term,\
    PublisherType,PublisherName,ChargeType,Frequency,PricingModel,AvailabilityZone,\
    BillingAccountId,BillingAccountName,BillingCurrencyCode,BillingPeriodStartDate,\
    BillingPeriodEndDate,BillingProfileId,BillingProfileName,InvoiceSectionId,\
    IsAzureCreditEligible,PartNumber,PayGPrice,PlanName,ServiceFamily";

/// Enrollment exports of 2023-12-01-preview.
const EA_2023: &str = "\
    InvoiceSectionName,AccountName,AccountOwnerId,SubscriptionId,SubscriptionName,ResourceGroup,\
    ResourceLocation,Date,ProductName,MeterCategory,MeterSubCategory,MeterId,MeterName,\
    MeterRegion,UnitOfMeasure,Quantity,EffectivePrice,CostInBillingCurrency,CostCenter,\
    ConsumedService,ResourceId,Tags,OfferId,AdditionalInfo,ServiceInfo1,ServiceInfo2,\
    ResourceName,ReservationId,ReservationName,UnitPrice,ProductOrderId,ProductOrderName,Term,\
    PublisherType,PublisherName,ChargeType,Frequency,PricingModel,AvailabilityZone,\
    BillingAccountId,BillingAccountName,BillingCurrencyCode,BillingPeriodStartDate,\
    BillingPeriodEndDate,BillingProfileId,BillingProfileName,InvoiceSectionId,\
    IsAzureCreditEligible,PartNumber,PayGPrice,PlanName,ServiceFamily,CostAllocationRuleName,\
    benefitId,benefitName";

/// Enrollment exports of 2024-08-01.
const EA_2024: &str = "\
    InvoiceSectionName,AccountName,AccountOwnerId,SubscriptionId,SubscriptionName,ResourceGroup,\
    ResourceLocation,Date,ProductName,MeterCategory,MeterSubCategory,MeterId,MeterName,\
    MeterRegion,UnitOfMeasure,Quantity,EffectivePrice,CostInBillingCurrency,CostCenter,\
    ConsumedService,ResourceId,Tags,OfferId,AdditionalInfo,ServiceInfo1,ServiceInfo2,\
    ResourceName,ReservationId,ReservationName,UnitPrice,ProductOrderId,ProductOrderName,Term,\
    PublisherType,PublisherName,ChargeType,Frequency,PricingModel,AvailabilityZone,\
    BillingAccountId,BillingAccountName,BillingCurrencyCode,BillingPeriodStartDate,\
    BillingPeriodEndDate,BillingProfileId,BillingProfileName,InvoiceSectionId,\
    IsAzureCreditEligible,PartNumber,PayGPrice,PlanName,ServiceFamily,CostAllocationRuleName,\
    benefitId,benefitName,AccountId,ResourceLocationNormalized";

/// Downloads from the portal.
const PORTAL: &str = "\
    BillingAccountId,BillingAccountName,BillingPeriodStartDate,BillingPeriodEndDate,\
    BillingProfileId,BillingProfileName,AccountOwnerId,AccountName,SubscriptionId,\
    SubscriptionName,Date,Product,PartNumber,MeterId,ServiceFamily,MeterCategory,\
    MeterSubCategory,MeterRegion,MeterName,Quantity,EffectivePrice,Cost,UnitPrice,\
    BillingCurrency,ResourceLocation,AvailabilityZone,ConsumedService,ResourceId,ResourceName,\
    ServiceInfo1,ServiceInfo2,AdditionalInfo,Tags,InvoiceSectionId,InvoiceSection,CostCenter,\
    UnitOfMeasure,ResourceGroup,ReservationId,ReservationName,ProductOrderId,ProductOrderName,\
    OfferId,IsAzureCreditEligible,Term,PublisherName,PlanName,ChargeType,Frequency,\
    PublisherType,PayGPrice,PricingModel,CostAllocationRuleName,benefitId,benefitName";

/// The retired usage API, which has no currency.
const USAGE_V3: &str = "\
    AccountId,AccountName,AccountOwnerEmail,AdditionalInfo,ConsumedQuantity,ConsumedService,\
    ConsumedServiceId,Cost,CostCenter,Date,DepartmentId,DepartmentName,InstanceId,MeterCategory,\
    MeterId,MeterName,MeterRegion,MeterSubCategory,Product,ProductId,ResourceGroup,\
    ResourceLocation,ResourceLocationId,ResourceRate,ServiceAdministratorId,ServiceInfo1,\
    ServiceInfo2,StoreServiceIdentifier,SubscriptionGuid,SubscriptionId,SubscriptionName,Tags,\
    UnitOfMeasure,PartNumber,ResourceGuid,OfferId,ChargesBilledSeparately,Location,ServiceName,\
    ServiceTier";

/// Pay as you go.
const PAYG: &str = "\
    SubscriptionGuid,ResourceGroup,ResourceLocation,UsageDateTime,MeterCategory,\
    MeterSubcategory,MeterId,MeterName,MeterRegion,UsageQuantity,ResourceRate,PreTaxCost,\
    ConsumedService,ResourceType,InstanceId,Tags,OfferId,AdditionalInfo,ServiceInfo1,\
    ServiceInfo2,ServiceName,ServiceTier,Currency,UnitOfMeasure";

/// Customer agreements of 2019-10-01.
const MCA_2019_10: &str = "\
    InvoiceID,PreviousInvoiceId,BillingAccountId,BillingAccountName,BillingProfileId,\
    BillingProfileName,InvoiceSectionId,InvoiceSectionName,ResellerName,ResellerMPNId,\
    CostCenter,BillingPeriodEndDate,BillingPeriodStartDate,ServicePeriodEndDate,\
    ServicePeriodStartDate,Date,ServiceFamily,ProductOrderId,ProductOrderName,ConsumedService,\
    MeterId,MeterName,MeterCategory,MeterSubcategory,MeterRegion,ProductId,Product,\
    SubscriptionGuid,SubscriptionName,PublisherType,PublisherId,PublisherName,ResourceGroup,\
    InstanceName,ResourceLocation,Location,EffectivePrice,Quantity,UnitOfMeasure,ChargeType,\
    BillingCurrencyCode,PricingCurrencyCode,CostInBillingCurrency,CostInPricingCurrency,\
    CostInUSD,PaygCostInBillingCurrency,PaygCostInUSD,ExchangeRate,ExchangeRateDate,\
    IsAzureCreditEligible,ServiceInfo1,ServiceInfo2,AdditionalInfo,Tags,MarketPrice,Frequency,\
    Term,ReservationId,ReservationName,UnitPrice";

/// Customer agreements of 2019-11-01.
const MCA_2019_11: &str = "\
    invoiceId,previousInvoiceId,billingAccountId,billingAccountName,billingProfileId,\
    billingProfileName,invoiceSectionId,invoiceSectionName,resellerName,resellerMpnId,\
    costCenter,billingPeriodEndDate,billingPeriodStartDate,servicePeriodEndDate,\
    servicePeriodStartDate,date,serviceFamily,productOrderId,productOrderName,consumedService,\
    meterId,meterName,meterCategory,meterSubCategory,meterRegion,ProductId,product,\
    subscriptionId,subscriptionName,publisherType,publisherId,publisherName,resourceGroupName,\
    InstanceName,resourceLocation,Location,effectivePrice,quantity,unitOfMeasure,chargeType,\
    billingCurrency,pricingCurrency,costInBillingCurrency,costInPricingCurrency,costInUsd,\
    paygCostInBillingCurrency,paygCostInUsd,exchangeRatePricingToBilling,exchangeRateDate,\
    isAzureCreditEligible,serviceInfo1,serviceInfo2,additionalInfo,tags,payGPrice,frequency,\
    term,reservationId,reservationName,unitPrice";

/// Customer agreements of 2023-12-01-preview.
const MCA_2023: &str = "\
    invoiceId,previousInvoiceId,billingAccountId,billingAccountName,billingProfileId,\
    billingProfileName,invoiceSectionId,invoiceSectionName,resellerName,resellerMpnId,\
    costCenter,billingPeriodEndDate,billingPeriodStartDate,servicePeriodEndDate,\
    servicePeriodStartDate,date,serviceFamily,productOrderId,productOrderName,consumedService,\
    meterId,meterName,meterCategory,meterSubCategory,meterRegion,ProductId,ProductName,\
    SubscriptionId,subscriptionName,publisherType,publisherId,publisherName,resourceGroupName,\
    ResourceId,resourceLocation,location,effectivePrice,quantity,unitOfMeasure,chargeType,\
    billingCurrency,pricingCurrency,costInBillingCurrency,costInPricingCurrency,costInUsd,\
    paygCostInBillingCurrency,paygCostInUsd,exchangeRatePricingToBilling,exchangeRateDate,\
    isAzureCreditEligible,serviceInfo1,serviceInfo2,additionalInfo,tags,PayGPrice,frequency,\
    term,reservationId,reservationName,pricingModel,unitPrice,costAllocationRuleName,benefitId,\
    benefitName,provider";

/// A few columns, as somebody picked them.
const PICKED: &str = "Date,Cost,Currency,SubscriptionId,MeterCategory,Tags,Quantity";

/// All of them.
pub(super) const LAYOUTS: [&str; 11] = [
    EA_2019,
    EA_2020,
    EA_2023,
    EA_2024,
    PORTAL,
    USAGE_V3,
    PAYG,
    MCA_2019_10,
    MCA_2019_11,
    MCA_2023,
    PICKED,
];
