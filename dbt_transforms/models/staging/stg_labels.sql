{% set columns = var('columns') %}
{% set own_file = var('labels_source') is not none %}

{{ config(alias='stg_' ~ (var('labels_source') if own_file else var('items') ~ '_labels')) }}

with

source as (

    select * from {{ source('raw', 'labels') if own_file else ref('stg_texts') }}

),

final as (

    select
        {{ name(var('key')) }},
        {{ clean(name(columns.label)) if own_file else name(columns.label) }} as {{ name(columns.label) }}

    from source
    {% if not own_file %}
        where {{ name(columns.label) }} is not null
    {% endif %}

)

select * from final
