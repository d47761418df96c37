module ringtail

go 1.24
