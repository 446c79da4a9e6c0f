-- Every project is in projects_to_predict exactly once, and labelled exactly if it is in labeled_projects.
with

expected as (

    select
        count(stg_projects.id) as projects,
        count(labeled_projects.id) as labeled

    from {{ ref('stg_projects') }} as stg_projects
    left join {{ ref('labeled_projects') }} as labeled_projects
        on stg_projects.id = labeled_projects.id

),

actual as (

    select
        count(*) as projects,
        sum(case when is_labeled then 1 else 0 end) as labeled

    from {{ ref('projects_to_predict') }}

)

select
    expected.projects as expected_projects,
    actual.projects as actual_projects,
    expected.labeled as expected_labeled,
    actual.labeled as actual_labeled

from expected
cross join actual
where
    expected.projects <> actual.projects
    or expected.labeled <> actual.labeled
