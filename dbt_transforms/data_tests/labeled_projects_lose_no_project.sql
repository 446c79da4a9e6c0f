-- Every project that has a tag is in labeled_projects exactly once.
with

expected as (

    select count(*) as projects
    from {{ ref('stg_projects') }} as stg_projects
    where stg_projects.id in (select stg_tags.id from {{ ref('stg_tags') }} as stg_tags)

),

actual as (

    select count(*) as projects
    from {{ ref('labeled_projects') }}

)

select
    expected.projects as expected_projects,
    actual.projects as actual_projects

from expected
cross join actual
where expected.projects <> actual.projects
