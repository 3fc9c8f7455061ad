FROM debian-stand-in:bookworm
COPY pip.conf /etc/pip.conf
COPY wheels /opt/wheels
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3.11 python3-pip \
    && rm -rf /usr/lib/python3.11/EXTERNALLY-MANAGED /var/lib/apt/lists/* \
    && ln -s /usr/bin/python3.11 /usr/local/bin/python \
    && ln -s /usr/bin/python3.11 /usr/local/bin/python3 \
    && ln -s /usr/bin/pip3 /usr/local/bin/pip
CMD ["python3"]
