-- Every text that has a label is in the table of these exactly once.
{% set key = name(var('key')) %}

with

expected as (

    select count(*) as texts
    from {{ ref('stg_texts') }} as stg_texts
    where stg_texts.{{ key }} in (select stg_labels.{{ key }} from {{ ref('stg_labels') }} as stg_labels)

),

actual as (

    select count(*) as texts
    from {{ ref('labeled') }}

)

select
    expected.texts as expected_texts,
    actual.texts as actual_texts

from expected
cross join actual
where expected.texts <> actual.texts
