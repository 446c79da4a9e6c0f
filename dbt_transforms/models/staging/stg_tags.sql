with

source as (

    select * from {{ source('raw', 'tags') }}

),

final as (

    select
        id,
        lower({{ clean('tag') }}) as tag

    from source

)

select * from final
