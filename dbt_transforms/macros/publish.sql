{% macro publish() %}
    {% set tables = [] %}
    {% for name in ('labeled', 'to_predict') %}
        {% set candidate = ref(name) %}
        {% set schema = generate_schema_name('marts', none) %}
        {% set published = api.Relation.create(candidate.database, schema, candidate.identifier, type='table') %}
        {% do tables.append((candidate, published)) %}
    {% endfor %}
    {% do adapter.create_schema(tables[0][1]) %}
    {% set facts = adapter.dispatch('publish')(tables) %}
    {{ log(facts | tojson, info=True) }}
{% endmacro %}


{#
    The rows are replaced inside the tables: renaming a table would take its views along, and dropping it would fail.
    Readers do not wait unless columns have changed. `begin` is explicit: dbt leaves transactions to psycopg2, which
    begins none after dbt's first commit.
#}
{% macro postgres__publish(tables) %}
    {% set rows = {} %}
    {% call statement() %}
        begin;
        {% for candidate, published in tables %}
            create table if not exists {{ published }} (like {{ candidate }});
            -- Without the lock, two writers at the same time would leave the rows of both.
            lock table {{ published }} in share row exclusive mode;
            delete from {{ published }};
        {% endfor %}
    {% endcall %}
    {% for candidate, published in tables %}
        {% do process_schema_changes('sync_all_columns', candidate, published) %}
        {% set columns = adapter.get_columns_in_relation(candidate) | map(attribute='quoted') | join(', ') %}
        {% call statement('insert') %}
            insert into {{ published }} ({{ columns }}) select {{ columns }} from {{ candidate }}
        {% endcall %}
        {% do rows.update({candidate.identifier: load_result('insert').response.rows_affected}) %}
    {% endfor %}
    {# Others see the changes from here on; an earlier error rolls all of them back. #}
    {% do adapter.commit() %}
    {{ return({'rows': rows}) }}
{% endmacro %}


{#
    The macro of dbt drops the column with every view that reads it; here PostgreSQL refuses and names the view.
    The table is empty at this point.
#}
{% macro postgres__alter_column_type(relation, column_name, new_column_type) %}
    {% set column = adapter.quote(column_name) %}
    {% call statement() %}
        alter table {{ relation }} alter column {{ column }} type {{ new_column_type }} using null
    {% endcall %}
{% endmacro %}


{#
    Each table is replaced in one step by a copy, which reads no bytes and keeps partitions, clusters and labels. One
    follows the other, since a transaction of BigQuery cannot create tables; so all that can be checked is checked first.
#}
{% macro bigquery__publish(tables) %}
    {% set rows, billed = {}, [] %}
    {% for candidate, published in tables %}
        {% set found = adapter.get_bq_table(candidate) %}
        {% if found is none %}
            {{ exceptions.raise_compiler_error('table ' ~ candidate ~ ' does not exist') }}
        {% endif %}
        {% do rows.update({candidate.identifier: found.num_rows}) %}
    {% endfor %}
    {% for candidate, published in tables %}
        {% call statement('copy') %}
            create or replace table {{ published }} copy {{ candidate }}
        {% endcall %}
        {% do billed.append(load_result('copy').response.bytes_billed or 0) %}
    {% endfor %}
    {{ return({'rows': rows, 'bytes_billed': billed | sum}) }}
{% endmacro %}
