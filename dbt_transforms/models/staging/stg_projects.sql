with

source as (

    select * from {{ source('raw', 'projects') }}

),

final as (

    select
        id,
        created_on,
        {{ clean('title') }} as title,
        {{ clean('description') }} as description

    from source

)

select * from final
