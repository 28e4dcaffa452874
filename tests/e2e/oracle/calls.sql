-- A call of each overload of pg_catalog's functions, with arguments made up by their types: (name, text).
SELECT proname, format('SELECT pg_catalog.%I(%s) LIMIT 5', proname, coalesce(string_agg(
    CASE
    WHEN typname = 'cstring' THEN '''1''::cstring'
    WHEN typname IN ('anyarray', 'anycompatiblearray') THEN 'ARRAY[1, 2]'
    WHEN typname IN ('anyrange', 'anycompatiblerange') THEN 'int4range(1, 2)'
    WHEN typname IN ('anymultirange', 'anycompatiblemultirange') THEN 'int4multirange(int4range(1, 2))'
    WHEN typname = 'anyenum' THEN 'NULL'
    WHEN typname LIKE 'any%' THEN '1'
    WHEN typname = 'record' THEN 'ROW(1, 2)'
    WHEN typname = 'pg_lsn' THEN '''0/1000001''::pg_lsn'
    WHEN typname = 'oid' THEN '1259::oid'
    WHEN typname = 'json' THEN '''{"a": 1}''::json'
    WHEN typname = 'jsonb' THEN '''{"a": 1}''::jsonb'
    WHEN typname = 'jsonpath' THEN '''$.a''::jsonpath'
    WHEN typname = 'bytea' THEN '''a''::bytea'
    WHEN typname = 'xml' THEN '''<a/>''::xml'
    WHEN typname = 'uuid' THEN '''00000000-0000-0000-0000-000000000001''::uuid'
    WHEN typname = 'regclass' THEN '''pg_class''::regclass'
    WHEN typname = 'regtype' THEN '''int4''::regtype'
    WHEN typname = 'regrole' THEN '''postgres''::regrole'
    WHEN typname = 'regnamespace' THEN '''pg_catalog''::regnamespace'
    WHEN typname = 'regproc' THEN '''now''::regproc'
    WHEN typname = 'regprocedure' THEN '''now()''::regprocedure'
    WHEN typname = 'regconfig' THEN '''english''::regconfig'
    WHEN typname = 'regdictionary' THEN '''simple''::regdictionary'
    WHEN typname = 'regcollation' THEN '''"C"''::regcollation'
    WHEN typname LIKE 'reg%' THEN format('NULL::%s', typname)
    WHEN typcategory = 'N' THEN format('1::%s', format_type(type, NULL))
    WHEN typcategory = 'B' THEN 'true'
    WHEN typcategory = 'S' THEN format('''a''::%s', format_type(type, NULL))
    WHEN typcategory = 'D' THEN format('''2020-01-01''::timestamptz::%s', format_type(type, NULL))
    WHEN typcategory = 'T' THEN format('''1''::%s', format_type(type, NULL))
    WHEN typcategory = 'A' THEN format('ARRAY[]::%s', format_type(type, NULL))
    ELSE format('NULL::%s', format_type(type, NULL))
    END, ', ' ORDER BY place) FILTER (WHERE type IS NOT NULL), ''))
FROM pg_proc
    LEFT JOIN LATERAL unnest(proargtypes) WITH ORDINALITY AS argument (type, place) ON true
    LEFT JOIN pg_type ON pg_type.oid = type
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND prorettype <> 'internal'::regtype
    AND NOT EXISTS (
        SELECT FROM unnest(proargtypes) AS given JOIN pg_type AS pseudo ON pseudo.oid = given
        WHERE pseudo.typtype = 'p' AND pseudo.typname NOT LIKE 'any%' AND pseudo.typname NOT IN ('record', 'cstring')
    )
GROUP BY pg_proc.oid, proname ORDER BY 1, 2
