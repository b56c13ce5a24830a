"""A login by PyMySQL: python3 client.py HOST PORT USER PASSWORD [CERTIFICATE]. Prints what a statement is answered."""

import ssl
import sys

import pymysql

HOST, PORT, USER, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
CONTEXT = None
if len(sys.argv) > 5:
    CONTEXT = ssl.create_default_context(cafile=sys.argv[5])
    CONTEXT.check_hostname = False
connection = pymysql.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, ssl=CONTEXT, connect_timeout=5)
with connection.cursor() as cursor:
    cursor.execute("select name from who")
    print(cursor.fetchone()[0])
connection.close()
