-- Every text is in the table to predict exactly once, and labelled exactly if it is in the table of those with a label.
{% set key = name(var('key')) %}

with

expected as (

    select
        count(stg_texts.{{ key }}) as texts,
        count(labeled.{{ key }}) as labeled

    from {{ ref('stg_texts') }} as stg_texts
    left join {{ ref('labeled') }} as labeled
        on stg_texts.{{ key }} = labeled.{{ key }}

),

actual as (

    select
        count(*) as texts,
        sum(case when is_labeled then 1 else 0 end) as labeled

    from {{ ref('to_predict') }}

)

select
    expected.texts as expected_texts,
    actual.texts as actual_texts,
    expected.labeled as expected_labeled,
    actual.labeled as actual_labeled

from expected
cross join actual
where
    expected.texts <> actual.texts
    or expected.labeled <> actual.labeled
